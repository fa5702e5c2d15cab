// Makes request ids in batches: node:crypto builds each of its UUIDs from twenty strings.
import { randomFillSync } from "node:crypto";

const batch = 128;
const randomBytes = 16;
const length = 36;
const digits = Buffer.from("0123456789abcdef");

const random = Buffer.allocUnsafeSlow(batch * randomBytes);
const texts = Buffer.alloc(batch * length, "-");
let next = batch;

/** @returns a UUID of version 4 (RFC 9562 section 5.4) */
export function newRequestId(): string {
  if (next === batch) {
    randomFillSync(random);
    for (let i = 0; i < batch; i += 1) writeId(i);
    next = 0;
  }
  const at = next * length;
  next += 1;
  return texts.toString("latin1", at, at + length);
}

function writeId(index: number): void {
  const from = index * randomBytes;
  random[from + 6] = ((random[from + 6] as number) & 0x0f) | 0x40;
  random[from + 8] = ((random[from + 8] as number) & 0x3f) | 0x80;
  let at = index * length;
  for (let i = 0; i < randomBytes; i += 1) {
    const byte = random[from + i] as number;
    // A dash stands before these bytes (RFC 9562 section 4).
    if (i === 4 || i === 6 || i === 8 || i === 10) at += 1;
    texts[at] = digits[byte >> 4] as number;
    texts[at + 1] = digits[byte & 0x0f] as number;
    at += 2;
  }
}
