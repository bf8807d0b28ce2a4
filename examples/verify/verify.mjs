// Verifies records without quorate, like verify.py beside it, line by line: an archive may be longer than memory.
// Needs Node.js 20 and viem 2.
// usage: verify.mjs FILE [ADDRESS ...]     the addresses of the members that you trust; without them anybody may have signed
import { createReadStream, openSync, readSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import { hashTypedData, keccak256, parseUnits, recoverAddress, stringToBytes } from 'viem'

const MIN_SIGNATURES = 3
const FIELDS =
  'string feed,uint64 sequence,bytes32 previous,uint256 price,uint64 observedAt,address observer,bytes32 evidence'
const types = {
  PriceObservation: FIELDS.split(',').map((field) => {
    const [type, name] = field.split(' ')
    return { name, type }
  })
}

const scaled = (price) => parseUnits(price, 18)

function median (prices) {
  prices.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const middle = prices.length >> 1
  return prices.length % 2 === 1 ? prices[middle] : (prices[middle - 1] + prices[middle]) / 2n
}

function must (holds, reason) {
  if (!holds) throw new Error(reason)
}

/** One record by itself. */
async function check (record, members) {
  const quotes = record.evidence
  must(median(quotes.map((quote) => scaled(quote.price))) === scaled(record.price), 'the price is not the median')
  const canonical = quotes.map(({ source, price, at }) => `${source} ${price} ${at}\n`).join('')
  const digest = hashTypedData({
    domain: { name: 'quorate', version: '1', salt: keccak256(stringToBytes(record.network)) },
    types,
    primaryType: 'PriceObservation',
    message: {
      feed: record.feed,
      sequence: BigInt(record.sequence),
      previous: record.previous,
      price: scaled(record.price),
      observedAt: BigInt(record.observed_at_ms),
      observer: record.observer,
      evidence: keccak256(stringToBytes(canonical))
    }
  })
  must(digest === record.digest, `the contents hash to ${digest}`)
  const signers = new Set()
  for (const { signer, signature } of record.signatures) {
    const recovered = await recoverAddress({ hash: digest, signature })
    must(recovered === signer, `the signature of ${signer} is that of ${recovered}`)
    must(members.size === 0 || members.has(recovered), `${recovered} is no member`)
    signers.add(recovered)
  }
  must(signers.has(record.observer), 'the observer has not signed')
  must(signers.size >= MIN_SIGNATURES, `${signers.size} signatures`)
}

/** The lines of a file, compressed or not. */
function lines (file) {
  const first = Buffer.alloc(2)
  readSync(openSync(file, 'r'), first, 0, 2, 0)
  const stream = createReadStream(file)
  const isCompressed = first[0] === 0x1f && first[1] === 0x8b
  return createInterface({ input: isCompressed ? stream.pipe(createGunzip()) : stream, crlfDelay: Infinity })
}

const [file, ...trusted] = process.argv.slice(2)
const members = new Set(trusted)
const last = new Map()
let count = 0
let end = null
let name = file
try {
  for await (const line of lines(file)) {
    const record = JSON.parse(line)
    if (record.quorate_archive) continue
    if (record.end) {
      end = record.end
      continue
    }
    count += 1
    name = `record ${record.sequence} of ${record.feed}`
    await check(record, members)
    // The record before it: its number and its digest. Of the first one that is known only a stranger's word.
    const before = last.get(record.feed)
    if (before) {
      must(record.sequence === before.sequence + 1, `it stands behind record ${before.sequence}`)
      must(record.previous === before.digest, 'it does not follow the record before it')
    }
    last.set(record.feed, record)
  }
  name = file
  must(end !== null, 'the archive has no last line')
  must(end.records === count, `the archive counts ${end.records} records, there are ${count}`)
} catch (error) {
  console.error(`${name}: ${error.message}`)
  process.exit(1)
}
console.log(`${count} records verified: ${[...last.values()].map(({ feed, sequence }) => `${feed} up to ${sequence}`).join(', ')}`)
