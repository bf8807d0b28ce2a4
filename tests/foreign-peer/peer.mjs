// A co-signing node in JavaScript, written from docs/protocol.md alone: it joins, judges, signs and passes on.
// It has no price and no database, so it vouches for what members have signed, is young and can follow the last record that it
// has heard of: for tests only.
// usage: node --import ./polyfill.mjs peer.mjs KEY_FILE MEMBERS_FILE NETWORK WINDOW_SECONDS SECRET_FILE|clear MULTIADDR...
import { readFileSync } from 'node:fs'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { gossipsub, StrictNoSign, TopicValidatorResult } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { bytesToHex, hexToBytes, keccak256 } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { seal, sealKey, unseal } from './sealing.mjs'
import {
  decimal, faultOf, heartbeatDigest, isBy, isProof, observationDigest, refusalDigest, sign, writtenDigest
} from './signing.mjs'
import { encode, KIND, open, order, VERSION } from './wire.mjs'

const [keyFile, membersFile, network, windowSeconds, secretFile, ...addresses] = process.argv.slice(2)
const hexIn = (file) => `0x${readFileSync(file, 'utf8').split('\n')[0].trim().replace(/^0x/, '')}`
const TOPIC = 'eth_prices'
const WINDOW_MS = Number(windowSeconds) * 1000
// Two statements of one observer that are closer are for one moment; for as long a price can be vouched for.
const MOMENT_MS = Math.min(WINDOW_MS / 2, 15_000)
const FUTURE_MS = 5_000
const HEARTBEAT_MS = 15_000

const secretKey = hexIn(keyFile)
const me = hexToBytes(privateKeyToAccount(secretKey).address)
const members = [...readFileSync(membersFile, 'utf8').matchAll(/^address = "(0x[0-9a-fA-F]{40})"/gm)].map(([, a]) => a.toLowerCase())
const sealing = secretFile === 'clear' ? undefined : sealKey(network, hexToBytes(hexIn(secretFile)))
const say = (...words) => console.log(new Date().toISOString(), ...words)
const started = Date.now()
const signed = new Map()
const last = { sequence: 0, digest: new Uint8Array(32) }

const isMember = (address) => members.includes(bytesToHex(address))
const age = (at) => Date.now() - Number(at)
const isTimely = (at, longest) => age(at) <= longest && age(at) >= -FUTURE_MS

function publish (kind, body) {
  const message = encode([VERSION, network, kind, body])
  return node.services.pubsub.publish(TOPIC, sealing ? seal(sealing, message) : message)
}

async function beat () {
  const body = [me, 'foreign/1', ['ETH/USD'], Date.now(), 0, last.digest, Math.floor((Date.now() - started) / 1000)]
  await publish(KIND.heartbeat, [...body, await sign(heartbeatDigest(network, body), secretKey)])
}

/** Whether a record may have this place. Before it has heard of one, and if it has missed some, it cannot tell. */
const mayFollow = (sequence, previous) => last.sequence === 0 || sequence > last.sequence + 1 ||
  (sequence === last.sequence + 1 && order(previous, last.digest) === 0)

async function cosign ([observation, attestations]) {
  const [, sequence, previous, price, at, observer] = observation
  const digest = observationDigest(network, observation)
  if (attestations.some(([signer]) => order(signer, me) === 0)) return
  if (!isTimely(at, MOMENT_MS)) return
  if (!mayFollow(sequence, previous)) return say(`refused: reason=other_history sequence=${sequence}`)
  // One statement of an observer for a record and a moment, and each once.
  const key = [bytesToHex(observer), sequence, bytesToHex(previous)].join()
  const before = signed.get(key)
  if (before !== undefined && (before.digest === digest || Math.abs(Number(at) - before.at) < MOMENT_MS)) return
  signed.set(key, { digest, at: Number(at) })
  const all = [...attestations, [me, await sign(digest, secretKey)]].sort(([a], [b]) => order(a, b))
  await publish(KIND.report, [observation, all])
  say(`co-signed: price=${decimal(price)} signatures=${all.length} sealed=${sealing !== undefined}`)
}

/** What is found in a message, by the words of the table of findings, and what is to be done if it is valid. */
const JUDGES = {
  async [KIND.report] (report) {
    const [[, , , , at], attestations] = report
    if (!isTimely(at, WINDOW_MS)) return ['stale']
    if (!attestations.every(([signer]) => isMember(signer))) return ['unknown_signer']
    return [await faultOf(network, report) ?? 'accepted', () => cosign(report)]
  },
  async [KIND.written] (written) {
    const [[observation, attestations], writer, , signature] = written
    if (!isTimely(observation[4], 3 * WINDOW_MS)) return ['stale']
    if (![writer, ...attestations.map(([signer]) => signer)].every(isMember)) return ['unknown_signer']
    if (!await isBy(writer, writtenDigest(network, written), signature)) return ['bad_signature']
    return [await faultOf(network, written[0]) ?? 'accepted', () => {
      const [, sequence] = observation
      if (sequence > last.sequence) {
        Object.assign(last, { sequence, digest: hexToBytes(observationDigest(network, observation)) })
        signed.clear()
      }
      say(`record written: sequence=${sequence} by=${bytesToHex(writer)} signatures=${attestations.length}`)
    }]
  },
  async [KIND.heartbeat] (heartbeat) {
    if (!isMember(heartbeat[0])) return ['unknown_signer']
    return [await isBy(heartbeat[0], heartbeatDigest(network, heartbeat), heartbeat[7]) ? 'accepted' : 'bad_signature']
  },
  async [KIND.refusal] (refusal) {
    if (!isMember(refusal[3])) return ['unknown_signer']
    if (!await isBy(refusal[3], refusalDigest(network, refusal), refusal[5])) return ['bad_signature']
    return ['accepted', () => say(`refused by another: node=${bytesToHex(refusal[3])} reason=${refusal[2]}`)]
  },
  async [KIND.equivocation] (proof) {
    if (!isMember(proof[0][0][5])) return ['unknown_signer']
    return [await isProof(network, proof, MOMENT_MS) ? 'accepted' : 'no_proof']
  }
}
const REJECTED = ['malformed', 'bad_signature', 'no_proof']

async function judge (data) {
  let message = data
  try {
    message = sealing ? unseal(sealing, data) : data
  } catch (error) {
    return [sealing ? 'not_opened' : 'malformed']
  }
  try {
    const [kind, body] = open(message, network)
    return await JUDGES[kind](body)
  } catch (error) {
    return ['malformed']
  }
}

async function validate (_, { data }) {
  const [finding, act] = await judge(data)
  if (finding === 'accepted') {
    Promise.resolve(act?.()).catch((error) => say('failed:', error.message))
    return TopicValidatorResult.Accept
  }
  say(`not accepted: finding=${finding}`)
  // Whoever passes on what is under a seal may not be able to tell.
  return !sealing && REJECTED.includes(finding) ? TopicValidatorResult.Reject : TopicValidatorResult.Ignore
}

const node = await createLibp2p({
  privateKey: privateKeyFromRaw(hexToBytes(secretKey)),
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    pubsub: gossipsub({
      globalSignaturePolicy: StrictNoSign,
      msgIdFn: (message) => hexToBytes(keccak256(message.data)).slice(0, 8),
      allowPublishToZeroTopicPeers: true
    })
  }
})
node.services.pubsub.topicValidators.set(TOPIC, validate)
// Whoever begins to listen learns that this node is there.
node.services.pubsub.addEventListener('subscription-change', () => beat())
node.services.pubsub.subscribe(TOPIC)
setInterval(beat, HEARTBEAT_MS)
for (const address of addresses) await node.dial(multiaddr(address))
say(`joined: address=${bytesToHex(me)} peer=${node.peerId} sealed=${sealing !== undefined}`)
