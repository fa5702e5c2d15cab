// Reads and writes the part of DER (X.690) that certificates need: elements with a one-byte tag and a definite length.

export interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

/** The elements that follow each other in these bytes. @throws RangeError if they are cut off or are no DER */
export function elementsIn(bytes: Buffer): Element[] {
  const elements: Element[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes.readUInt8(at);
    const { length, size } = lengthAt(bytes, at + 1);
    const start = at + 1 + size;
    if ((tag & 0x1f) === 0x1f || start + length > bytes.length) throw new RangeError("no DER");
    elements.push({ tag, content: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return elements;
}

/** The length is in one byte, or in as many bytes as the first one says. */
function lengthAt(bytes: Buffer, at: number): { length: number; size: number } {
  const first = bytes.readUInt8(at);
  if (first < 0x80) return { length: first, size: 1 };
  const count = first & 0x7f;
  if (count === 0 || count > 4) throw new RangeError("no DER");
  return { length: bytes.readUIntBE(at + 1, count), size: 1 + count };
}

/** @returns an element made of the given content or elements */
export function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes]);
}
