// What is signed: EIP-712 by viem, which shares no code with quorate. Bodies are those of the messages, signature included.
import { bytesToHex, hashTypedData, hexToBytes, keccak256, recoverAddress, stringToBytes } from 'viem'
import { sign as signHash } from 'viem/accounts'
import { order } from './wire.mjs'

const fields = (text) => text.split(',').map((field) => {
  const [type, name] = field.split(' ')
  return { name, type }
})
const TYPES = {
  PriceObservation: fields(
    'string feed,uint64 sequence,bytes32 previous,uint256 price,uint64 observedAt,address observer,bytes32 evidence'
  ),
  Written: fields('bytes32 record,address writer,uint64 writtenAt'),
  Heartbeat: fields('address node,string version,string[] feeds,uint64 sentAt,uint64 lastObservation,bytes32 lastRecord,uint64 uptime'),
  Refusal: fields('bytes32 observation,address observer,string reason,address node,uint64 sentAt')
}

export const salt = (network) => keccak256(stringToBytes(network))

function digest (network, primaryType, message) {
  const domain = { name: 'quorate', version: '1', salt: salt(network) }
  return hashTypedData({ domain, types: TYPES, primaryType, message })
}

/** A price in plain decimals without trailing zeros. */
export function decimal (scaled) {
  const whole = BigInt(scaled) / 10n ** 18n
  const fraction = (BigInt(scaled) % 10n ** 18n).toString().padStart(18, '0').replace(/0+$/, '')
  return fraction === '' ? `${whole}` : `${whole}.${fraction}`
}

/** The canonical list of quotes. */
export const evidenceText = (quotes) => quotes.map(([source, price, at]) => `${source} ${decimal(price)} ${at}\n`).join('')

export const evidenceHash = (quotes) => keccak256(stringToBytes(evidenceText(quotes)))

/** The middle price; of an even number the mean of the two in the middle, rounded down. */
export function median (quotes) {
  const prices = quotes.map(([, price]) => BigInt(price)).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const middle = prices.length >> 1
  return prices.length % 2 === 1 ? prices[middle] : (prices[middle - 1] + prices[middle]) / 2n
}

export const observationDigest = (network, [feed, sequence, previous, price, observedAt, observer, quotes]) =>
  digest(network, 'PriceObservation', {
    feed,
    sequence: BigInt(sequence),
    previous: bytesToHex(previous),
    price: BigInt(price),
    observedAt: BigInt(observedAt),
    observer: bytesToHex(observer),
    evidence: evidenceHash(quotes)
  })

export const writtenDigest = (network, [[observation], writer, writtenAt]) =>
  digest(network, 'Written', {
    record: observationDigest(network, observation), writer: bytesToHex(writer), writtenAt: BigInt(writtenAt)
  })

export const heartbeatDigest = (network, [node, version, feeds, sentAt, lastObservation, lastRecord, uptime]) =>
  digest(network, 'Heartbeat', {
    node: bytesToHex(node),
    version,
    feeds,
    sentAt: BigInt(sentAt),
    lastObservation: BigInt(lastObservation),
    lastRecord: bytesToHex(lastRecord),
    uptime: BigInt(uptime)
  })

export const refusalDigest = (network, [observation, observer, reason, node, sentAt]) =>
  digest(network, 'Refusal', {
    observation: bytesToHex(observation), observer: bytesToHex(observer), reason, node: bytesToHex(node), sentAt: BigInt(sentAt)
  })

/** 65 bytes: r, s, v. */
export const sign = async (hash, privateKey) => hexToBytes(await signHash({ hash, privateKey, to: 'hex' }))

/** Whether this address has signed this. */
export async function isBy (address, hash, signature) {
  const halfOrder = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n
  if (signature.length !== 65 || ![27, 28].includes(signature[64])) return false
  if (BigInt(bytesToHex(signature.slice(32, 64))) > halfOrder) return false
  const recovered = await recoverAddress({ hash, signature: bytesToHex(signature) }).catch(() => '')
  return recovered.toLowerCase() === bytesToHex(address)
}

/** What is wrong with a report, whoever signed it: its place, its order, its price, or a signature. `undefined`: nothing. */
export async function faultOf (network, [observation, attestations]) {
  const [, sequence, previous, price, , observer, quotes] = observation
  const ascending = (list) => list.every((item, at) => at === 0 || order(list[at - 1], item) < 0)
  // Records are numbered from 1, and the first one alone follows nothing.
  if (sequence < 1 || (sequence === 1) !== previous.every((byte) => byte === 0)) return 'malformed'
  if (BigInt(price) !== median(quotes)) return 'malformed'
  if (!ascending(quotes.map(([source]) => Buffer.from(source)))) return 'malformed'
  if (!ascending(attestations.map(([signer]) => signer))) return 'malformed'
  if (!attestations.some(([signer]) => order(signer, observer) === 0)) return 'malformed'
  const hash = observationDigest(network, observation)
  for (const [signer, signature] of attestations) {
    if (!await isBy(signer, hash, signature)) return 'bad_signature'
  }
}

/** Whether two statements of one observer for one record, each signed by it alone and the lower digest first, contradict each other. */
export async function isProof (network, [one, other], momentMs) {
  for (const report of [one, other]) {
    if (report[1].length !== 1 || await faultOf(network, report) !== undefined) return false
  }
  const [feed, sequence, previous, , at, observer] = one[0]
  const [otherFeed, otherSequence, otherPrevious, , otherAt, otherObserver] = other[0]
  return observationDigest(network, one[0]) < observationDigest(network, other[0]) && feed === otherFeed &&
    sequence === otherSequence && order(previous, otherPrevious) === 0 &&
    order(observer, otherObserver) === 0 && Math.abs(Number(at) - Number(otherAt)) < momentMs
}
