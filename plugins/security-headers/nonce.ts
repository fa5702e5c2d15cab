// Makes nonces for Content-Security-Policy: 128 bits that nobody can guess (CSP 3 section 7.1), in base64.
import { randomFillSync } from "node:crypto";

const bytes = 16;
// One call of the random generator fills many nonces. A call for each would cost more than the rest of the plugin.
const pool = Buffer.alloc(bytes * 256);
let used = pool.length;

export function freshNonce(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const nonce = pool.toString("base64", used, used + bytes);
  used += bytes;
  return nonce;
}
