// Computes CRC-32C (Castagnoli, RFC 3720 appendix B.4). The crc32 of node:zlib uses another polynomial.
const polynomial = 0x82f63b78;

export function crc32c(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ ((sum & 1) === 1 ? polynomial : 0);
  }
  return ~sum >>> 0;
}
