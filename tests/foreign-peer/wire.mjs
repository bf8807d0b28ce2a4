// Messages as they travel: `[version, network, kind, body]` in deterministic CBOR, one spelling for each meaning.
import { decode as decodeCbor, encode as encodeCbor, Token, Type } from 'cborg'
import { bytesToHex, numberToBytes } from 'viem'

export const VERSION = 1
export const KIND = { report: 0, written: 1, heartbeat: 2, refusal: 3, equivocation: 4, sealed: 255 }
export const MAX_BYTES = 16_384

// Tag 2 is a bignum: prices from 2^64 on.
const tags = []
tags[2] = (bytes) => BigInt(bytesToHex(bytes))
const typeEncoders = {
  bigint: (value) => value < 2n ** 64n ? null : [new Token(Type.tag, 2), new Token(Type.bytes, numberToBytes(value))]
}

export const same = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0
export const order = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))
export const encode = (value) => encodeCbor(value, { typeEncoders })

/** Any CBOR that is spelt as documented; throws at any other. */
export function decode (bytes) {
  const value = decodeCbor(bytes, { tags, strict: true, allowIndefinite: false })
  if (!same(encode(value), bytes)) throw new Error('not in deterministic encoding')
  return value
}

/** Kind and body of a message of this network in clear; throws if it is none. */
export function open (bytes, network) {
  if (bytes.length > MAX_BYTES) throw new Error(`${bytes.length} bytes`)
  const [version, name, kind, body, ...rest] = decode(bytes)
  if (version !== VERSION || name !== network || rest.length > 0) throw new Error('of another version or network')
  return [kind, body]
}
