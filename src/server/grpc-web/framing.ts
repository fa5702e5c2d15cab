// Encodes and decodes gRPC-Web (PROTOCOL-WEB.md): the frames of gRPC, with the trailers in a last frame, since browsers
// hide trailers from scripts. The text form is base64, in pieces that may each be padded.

/** In the flag byte: this frame holds the trailers. */
const trailersFlag = 0x80;
const unknownStatus = "2";

/** @param flat name, value, …; already checked to be sendable */
export function trailersFrame(flat: readonly string[]): Buffer {
  let text = "";
  let hasStatus = false;
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase();
    hasStatus ||= name === "grpc-status";
    text += `${name}: ${flat[i + 1]}\r\n`;
  }
  // The service sent no status: callers of gRPC take that as UNKNOWN.
  if (!hasStatus) text += `grpc-status: ${unknownStatus}\r\n`;
  const block = Buffer.from(text, "latin1");
  const head = Buffer.alloc(5);
  head[0] = trailersFlag;
  head.writeUInt32BE(block.length, 1);
  return Buffer.concat([head, block]);
}

export function encodeText(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString("base64"), "latin1");
}

/** Decodes a base64 body that arrives in pieces. */
export class Base64Decoder {
  /** The characters left over: fewer than four. */
  #rest = "";

  /** @returns undefined if the chunk is not base64 */
  decode(chunk: Buffer): Buffer | undefined {
    const text = this.#rest + chunk.toString("latin1");
    const whole = text.length - (text.length % 4);
    this.#rest = text.slice(whole);
    const now = text.slice(0, whole);
    if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/.test(now)) return undefined;
    // There is mostly one piece: padding stands only at the end of a piece.
    const pieces = now.match(/[^=]+={0,2}/g) ?? [];
    return pieces.length === 1
      ? Buffer.from(now, "base64")
      : Buffer.concat(pieces.map((piece) => Buffer.from(piece, "base64")));
  }

  /** Whether the body may end here. */
  get isWhole(): boolean {
    return this.#rest === "";
  }
}
