// A co-signing node in JavaScript, written from docs/protocol.md alone: it joins, verifies, signs and passes on.
// It has no price of its own, so it vouches for what is signed by a member and younger than 15 s: for tests only.
// usage: [SECRET=HEX] node --import ./polyfill.mjs peer.mjs KEY_HEX NETWORK MULTIADDR...
// With a secret, what it says is sealed, and it hears only what is.
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { gossipsub, StrictNoSign } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { decode, encode, Token, Type } from 'cborg'
import { createLibp2p } from 'libp2p'
import { randomBytes } from 'node:crypto'
import { bytesToHex, concatBytes, hexToBytes, keccak256, numberToBytes, recoverTypedDataAddress, stringToBytes } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const [key, network, ...addresses] = process.argv.slice(2)
const account = privateKeyToAccount(`0x${key}`)
const TOPIC = 'eth_prices'
const TYPES = {
  PriceObservation: [
    { name: 'feed', type: 'string' },
    { name: 'price', type: 'uint256' },
    { name: 'observedAt', type: 'uint64' },
    { name: 'observer', type: 'address' },
    { name: 'evidence', type: 'bytes32' }
  ]
}
const DOMAIN = { name: 'quorate', version: '1', salt: keccak256(stringToBytes(network)) }
const SEALED = 255
const hash = (...parts) => hexToBytes(keccak256(concatBytes(parts)))
const secret = process.env.SECRET && hexToBytes(`0x${process.env.SECRET}`)
const derived = (purpose) => hash(stringToBytes(purpose), hexToBytes(DOMAIN.salt), secret)

function cipher (nonce) {
  const associated = encode([1, network, SEALED, keyId()])
  return xchacha20poly1305(derived('quorate seal key'), nonce, associated)
}

const keyId = () => derived('quorate key id').slice(0, 8)

function seal (message) {
  if (!secret) return message
  const nonce = new Uint8Array(randomBytes(24))
  return encode([1, network, SEALED, [keyId(), nonce, cipher(nonce).encrypt(message)]])
}

// Throws when it is not sealed with our secret.
function open (bytes) {
  if (!secret) return bytes
  const [, , kind, [id, nonce, ciphertext]] = decode(bytes)
  if (kind !== SEALED || Buffer.compare(Buffer.from(id), Buffer.from(keyId())) !== 0) throw new Error('not sealed for us')
  return cipher(nonce).decrypt(ciphertext)
}

const say = (...words) => console.log(new Date().toISOString(), ...words)

// Tag 2 is a bignum: prices from 2^64 on.
const tags = []
tags[2] = (bytes) => BigInt(bytesToHex(bytes))
const typeEncoders = {
  bigint: (value) => value < 2n ** 64n ? null : [new Token(Type.tag, 2), new Token(Type.bytes, numberToBytes(value))]
}

function decimal (scaled) {
  const whole = scaled / 10n ** 18n
  const fraction = (scaled % 10n ** 18n).toString().padStart(18, '0').replace(/0+$/, '')
  return fraction === '' ? `${whole}` : `${whole}.${fraction}`
}

function typedData ([feed, price, observedAt, observer, quotes]) {
  const lines = quotes.map(([source, quoted, at]) => `${source} ${decimal(BigInt(quoted))} ${at}\n`).join('')
  const message = {
    feed,
    price: BigInt(price),
    observedAt: BigInt(observedAt),
    observer: bytesToHex(observer),
    evidence: keccak256(stringToBytes(lines))
  }
  return { domain: DOMAIN, types: TYPES, primaryType: 'PriceObservation', message }
}

const compare = (a, b) => Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0]))

async function onReport ([observation, attestations]) {
  const typed = typedData(observation)
  for (const [signer, signature] of attestations) {
    const recovered = await recoverTypedDataAddress({ ...typed, signature: bytesToHex(signature) })
    if (recovered.toLowerCase() !== bytesToHex(signer)) return say('refused: a signature is not its signer\'s')
  }
  if (Date.now() - Number(observation[2]) > 15_000) return
  const me = hexToBytes(account.address)
  if (attestations.some(([signer]) => Buffer.compare(Buffer.from(signer), Buffer.from(me)) === 0)) return
  const signature = hexToBytes(await account.signTypedData(typed))
  const signed = [...attestations, [me, signature]].sort(compare)
  const [feed, price, at, observer, quotes] = observation
  const body = [[feed, price, at, observer, quotes], signed]
  await node.services.pubsub.publish(TOPIC, seal(encode([1, network, 0, body], { typeEncoders })))
  say(`co-signed: price=${decimal(BigInt(price))} signatures=${signed.length}`)
}

const node = await createLibp2p({
  privateKey: privateKeyFromRaw(hexToBytes(`0x${key}`)),
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    pubsub: gossipsub({
      globalSignaturePolicy: StrictNoSign,
      msgIdFn: (message) => hexToBytes(keccak256(message.data)).slice(0, 20),
      allowPublishToZeroTopicPeers: true
    })
  }
})
node.services.pubsub.addEventListener('message', ({ detail }) => {
  const [version, name, kind, body] = decode(open(detail.data), { tags })
  if (version !== 1 || name !== network) return
  if (kind === 0) onReport(body).catch((error) => say('failed:', error.message))
  if (kind === 1) say(`record written: by=${bytesToHex(body[1])} signatures=${body[0][1].length}`)
})
node.services.pubsub.subscribe(TOPIC)
for (const address of addresses) await node.dial(multiaddr(address))
say(`joined: address=${account.address} peer=${node.peerId}`)
