// Sealed messages: `[version, network, 255, [key_id, nonce, ciphertext]]`, XChaCha20-Poly1305 by @noble/ciphers.
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { concat, hexToBytes, keccak256, stringToBytes } from 'viem'
import { salt } from './signing.mjs'
import { decode, encode, KIND, same, VERSION } from './wire.mjs'

/** The key that a secret of 32 bytes makes for a network, and its id. */
export function sealKey (network, secret) {
  const derive = (purpose) => hexToBytes(keccak256(concat([stringToBytes(purpose), hexToBytes(salt(network)), secret])))
  return { network, id: derive('quorate key id').slice(0, 8), key: derive('quorate seal key') }
}

const cipher = ({ network, id, key }, nonce) => xchacha20poly1305(key, nonce, encode([VERSION, network, KIND.sealed, id]))

/** A message with a seal. No nonce may come twice. */
export const seal = (key, message, nonce = crypto.getRandomValues(new Uint8Array(24))) =>
  encode([VERSION, key.network, KIND.sealed, [key.id, nonce, cipher(key, nonce).encrypt(message)]])

/** The message under the seal; throws if there is none, or it is of another key, or broken. */
export function unseal (key, bytes) {
  const [version, network, kind, body] = decode(bytes)
  if (version !== VERSION || network !== key.network || kind !== KIND.sealed) throw new Error('not sealed')
  const [id, nonce, ciphertext] = body
  if (!same(id, key.id)) throw new Error('sealed with another key')
  return cipher(key, nonce).decrypt(ciphertext)
}
