// gRPC-Web on the wire (PROTOCOL-WEB.md): the frames of gRPC, with the trailers in a last one, since browsers show scripts
// no trailers. The text form is base64, in pieces that may each be padded.

/** Of the flag byte: this frame is the trailers. */
const trailersFlag = 0x80;
const unknownStatus = "2";

/** @param flat name, value, …; they can be sent */
export function trailersFrame(flat: readonly string[]): Buffer {
  let text = "";
  let hasStatus = false;
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase();
    hasStatus ||= name === "grpc-status";
    text += `${name}: ${flat[i + 1]}\r\n`;
  }
  // The service said none: to callers of gRPC that is UNKNOWN.
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

/** Of a body in pieces. */
export class Base64Decoder {
  /** Fewer than four characters. */
  #rest = "";

  /** @returns undefined for what is not base64 */
  decode(chunk: Buffer): Buffer | undefined {
    const text = this.#rest + chunk.toString("latin1");
    const whole = text.length - (text.length % 4);
    this.#rest = text.slice(whole);
    const now = text.slice(0, whole);
    if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/.test(now)) return undefined;
    // One piece mostly: padding stands at its end alone.
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
