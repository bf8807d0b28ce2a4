// Follows the prices of a quorate network and verifies each: digest, median, signatures, and that none is missing.
// When a connection breaks, it goes on where it stopped, with the next node of those that are named.
//
//   npm install
//   node follow.ts [--feed ETH/USD] [--count N] [--after NUMBER] URL...        (Node 22.18 or later; before: npx tsx follow.ts)
import { parseArgs } from 'node:util'
import { hashTypedData, keccak256, parseUnits, recoverAddress, stringToBytes, type Address, type Hex } from 'viem'

type Quote = { source: string, price: string, at: number }
type Signature = { signer: Address, signature: Hex }
type PriceRecord = {
  feed: string, sequence: number, previous: Hex, digest: Hex, network: string, price: string, observed_at_ms: number,
  observer: Address, evidence: Quote[], signatures: Signature[]
}

const TYPES = {
  PriceObservation: [
    { name: 'feed', type: 'string' }, { name: 'sequence', type: 'uint64' }, { name: 'previous', type: 'bytes32' },
    { name: 'price', type: 'uint256' }, { name: 'observedAt', type: 'uint64' }, { name: 'observer', type: 'address' },
    { name: 'evidence', type: 'bytes32' }
  ]
} as const
// A node says something every 15 s.
const PATIENCE_MS = 60_000

const scaled = (price: string) => parseUnits(price, 18)

/** What the signers signed, made anew from the record's contents. */
function digest (record: PriceRecord): Hex {
  const quotes = record.evidence.map(({ source, price, at }) => `${source} ${price} ${at}\n`).join('')
  return hashTypedData({
    domain: { name: 'quorate', version: '1', salt: keccak256(stringToBytes(record.network)) },
    types: TYPES,
    primaryType: 'PriceObservation',
    message: {
      feed: record.feed,
      sequence: BigInt(record.sequence),
      previous: record.previous,
      price: scaled(record.price),
      observedAt: BigInt(record.observed_at_ms),
      observer: record.observer,
      evidence: keccak256(stringToBytes(quotes))
    }
  })
}

function median (quotes: Quote[]): bigint {
  const prices = quotes.map(({ price }) => scaled(price)).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const middle = prices.length >> 1
  return prices.length % 2 === 1 ? prices[middle] : (prices[middle - 1] + prices[middle]) / 2n
}

/** The distinct signers. Which of them are members, and whether they are enough, is for who trusts them to say. */
async function verify (record: PriceRecord, last?: PriceRecord): Promise<Set<Address>> {
  if (scaled(record.price) !== median(record.evidence)) throw new Error('the price is not the median of its quotes')
  const hash = digest(record)
  if (hash !== record.digest) throw new Error('the digest is of something else')
  for (const { signer, signature } of record.signatures) {
    const recovered = await recoverAddress({ hash, signature })
    if (recovered !== signer) throw new Error(`${signer} did not sign this, ${recovered} did`)
  }
  if (last !== undefined && (record.sequence !== last.sequence + 1 || record.previous !== last.digest)) {
    throw new Error(`it does not follow record ${last.sequence}`)
  }
  return new Set(record.signatures.map(({ signer }) => signer))
}

/** The stream's events until it ends. */
async function * events (url: string, lastId?: string): AsyncGenerator<Map<string, string>> {
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(), PATIENCE_MS)
  try {
    const answer = await fetch(url, { signal: silence.signal, headers: lastId === undefined ? {} : { 'Last-Event-ID': lastId } })
    if (!answer.ok || answer.body === null) throw new Error(await answer.text())
    let text = ''
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), PATIENCE_MS)
      text += chunk
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const fields = text.slice(0, end).split('\n').map((line): [string, string] => {
          const colon = line.indexOf(': ')
          return [line.slice(0, colon), line.slice(colon + 2)]
        })
        text = text.slice(end + 2)
        yield new Map(fields)
      }
    }
  } finally {
    clearTimeout(timer)
  }
}

/** Every record from now on, or after the one with this number, whatever happens to the nodes. */
async function * follow (nodes: string[], feed: string, after?: string): AsyncGenerator<PriceRecord> {
  let lastId = after === undefined ? undefined : `${feed}:${after}`
  for (let turn = 0; ; turn++) {
    const node = nodes[turn % nodes.length]
    try {
      for await (const event of events(`${node}/api/v1/stream?feed=${encodeURIComponent(feed)}`, lastId)) {
        const data = event.get('data')
        if (data === undefined) continue
        if (event.get('event') === 'record') {
          lastId = event.get('id')
          yield JSON.parse(data)
        } else {
          console.error(`${node} says: ${JSON.parse(data).reason}`)
        }
      }
      console.error(`${node}: the stream has ended`)
    } catch (error) {
      console.error(`${node}: ${error}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { feed: { type: 'string', default: 'ETH/USD' }, count: { type: 'string' }, after: { type: 'string' } }
})
let left = Number(values.count ?? Infinity)
let last: PriceRecord | undefined
for await (const record of follow(positionals, values.feed, values.after)) {
  const signers = await verify(record, last).catch((error: Error) => {
    console.error(`${record.feed}:${record.sequence} is not genuine: ${error.message}`)
    process.exit(1)
  })
  console.log(`${record.feed}:${record.sequence} ${record.price} verified, ${signers.size} signers`)
  last = record
  if (--left === 0) break
}
