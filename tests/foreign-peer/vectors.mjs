// Makes everything in protocol/testdata/vectors.json anew, from keys and plain values, and takes everything in it apart.
// usage: node vectors.mjs FILE
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { bytesToHex, hexToBytes } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { seal, sealKey, unseal } from './sealing.mjs'
import {
  evidenceHash, evidenceText, faultOf, heartbeatDigest, isBy, isProof, median, observationDigest, refusalDigest, sign,
  writtenDigest
} from './signing.mjs'
import { decode, encode, KIND, open, order, VERSION } from './wire.mjs'

const vectors = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const { network } = vectors
const bytes = (hex) => hexToBytes(hex.startsWith('0x') ? hex : `0x${hex}`)
const hex = (message) => bytesToHex(message).slice(2)
const message = (kind, body) => hex(encode([VERSION, network, kind, body]))
const scaled = (price) => {
  const [whole, fraction = ''] = price.split('.')
  return BigInt(whole + fraction.padEnd(18, '0'))
}

const keys = vectors.keys.map(({ secret, address }) => {
  assert.equal(privateKeyToAccount(`0x${secret}`).address, address)
  return { secret: `0x${secret}`, address: bytes(address) }
})
const AT = vectors.cases[0].observation.observed_at

for (const { name, observation, ...expected } of vectors.cases) {
  const quotes = observation.quotes.map(([source, price, at]) => [source, scaled(price), at])
  assert.equal(evidenceText(quotes), expected.evidence_text, name)
  assert.equal(evidenceHash(quotes), expected.evidence, name)
  assert.equal(median(quotes), BigInt(observation.price_scaled), name)
  const { feed, sequence, previous, observed_at: at, observer } = observation
  const observed = [feed, sequence, bytes(previous), median(quotes), at, bytes(observer), quotes]
  const digest = observationDigest(network, observed)
  assert.equal(digest, expected.digest, name)
  const attestations = []
  for (const { secret, address } of keys) attestations.push([address, await sign(digest, secret)])
  for (const [signer, signature] of Object.entries(expected.signatures)) {
    const ours = attestations.find(([address]) => order(address, bytes(signer)) === 0)
    assert.equal(bytesToHex(ours[1]), signature, name)
  }
  const certificate = [observed, [...attestations].sort(([a], [b]) => order(a, b))]
  assert.equal(message(KIND.report, [observed, [attestations[0]]]), expected.own_report_cbor, name)
  assert.equal(message(KIND.report, certificate), expected.certificate_cbor, name)
  assert.equal(await faultOf(network, certificate), undefined, name)
  const written = [certificate, keys[1].address, open(bytes(expected.written_cbor), network)[1][2]]
  written.push(await sign(writtenDigest(network, written), keys[1].secret))
  assert.equal(message(KIND.written, written), expected.written_cbor, name)
}

const heartbeat = [keys[2].address, '0.1.0', ['ETH/USD'], AT, 0, new Uint8Array(32), 60]
assert.equal(heartbeatDigest(network, heartbeat), vectors.heartbeat.digest)
heartbeat.push(await sign(heartbeatDigest(network, heartbeat), keys[2].secret))
assert.equal(message(KIND.heartbeat, heartbeat), vectors.heartbeat.cbor)

const refusal = [new Uint8Array(32).fill(7), keys[0].address, 'price_deviates', keys[2].address, AT]
refusal.push(await sign(refusalDigest(network, refusal), keys[2].secret))
assert.equal(message(KIND.refusal, refusal), vectors.refusal.cbor)
refusal[2] = 'price_agrees'
assert(!await isBy(keys[2].address, refusalDigest(network, refusal), refusal[5]), 'a refusal for another reason')

const statements = []
const { sequence, previous } = vectors.cases[1].observation
for (const price of ['3000', '3001']) {
  const observed = ['ETH/USD', sequence, bytes(previous), scaled(price), AT, keys[0].address, [['coinbase', scaled(price), AT]]]
  statements.push([observed, [[keys[0].address, await sign(observationDigest(network, observed), keys[0].secret)]]])
}
const digestOf = ([observed]) => observationDigest(network, observed)
const proof = statements.sort((a, b) => (digestOf(a) < digestOf(b) ? -1 : 1))
assert.equal(message(KIND.equivocation, proof), vectors.equivocation.cbor)
const [kind, claim] = open(bytes(vectors.equivocation.cbor), network)
assert(kind === KIND.equivocation && await isProof(network, claim, 15_000), 'the proof does not hold')
assert(!await isProof(network, [claim[0], claim[0]], 15_000), 'a proof of one statement')
assert(!await isProof(network, [claim[1], claim[0]], 15_000), 'a proof in the wrong order')
// The same observer's, at nearly the same time, and for another record.
const elsewhere = open(bytes(vectors.cases[0].own_report_cbor), network)[1]
const ofTwo = [elsewhere, claim[0]].sort((a, b) => (digestOf(a) < digestOf(b) ? -1 : 1))
assert(!await isProof(network, ofTwo, 15_000), 'a proof of statements for two records')

const { secret, key_id: keyId, nonce, plaintext, cbor } = vectors.sealed
const key = sealKey(network, bytes(secret))
assert.equal(bytesToHex(key.id), keyId)
assert.equal(hex(seal(key, bytes(plaintext), bytes(nonce))), cbor)
assert.equal(hex(unseal(key, bytes(cbor))), plaintext)
const broken = bytes(cbor)
broken[broken.length - 1] ^= 1
assert.throws(() => unseal(key, broken), 'a broken seal was opened')
assert.throws(() => unseal(sealKey('another', bytes(secret)), bytes(cbor)), 'a seal of another network was opened')
// 23 in two bytes where one would do: another spelling of a message is none.
assert.throws(() => decode(new Uint8Array([0x18, 0x17])), 'a longer spelling was taken')

console.log(`vectors: ${vectors.cases.length} observations, heartbeat, refusal, equivocation and seal made and read alike`)
