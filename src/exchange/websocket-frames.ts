// Follows the frames of a WebSocket in one direction (RFC 6455 section 5.2), to know where they end: between two
// frames, even within a fragmented message, the sidecar may insert a control frame. Only the code of a close frame is
// read.
import { randomBytes } from "node:crypto";

const masked = 0x80;
const maskBytes = 4;
const opcodeBits = 0x0f;
const closeOpcode = 0x08;
/** The longest frame head: two bytes, a length of eight, a mask of four. */
const maxHead = 14;
/** Section 7.1.5: a close frame without a code, and a connection that ended without a close frame. */
const noCode = 1005;
export const noCloseFrame = 1006;

export class FrameFollower {
  readonly #head = Buffer.alloc(maxHead);
  /** The number of frames whose head is complete. */
  messages = 0;
  /** The code of the first close frame; undefined = there was none. */
  closeCode: number | undefined = undefined;
  #headBytes = 0;
  /** How many bytes of a close frame's code were read; -1 = no code is being read. */
  #codeBytes = -1;
  #firstOfCode = 0;
  /** Bytes of payload that are still to come. */
  #payload = 0;

  /** Whether the bytes so far end with a complete frame. */
  get between(): boolean {
    return this.#headBytes === 0 && this.#payload === 0;
  }

  /** @returns the offset in the chunk after the first frame that ends there; -1 = none ends */
  follow(chunk: Uint8Array): number {
    let first = -1;
    let at = 0;
    while (at < chunk.length) {
      if (this.#payload > 0) {
        const taken = Math.min(this.#payload, chunk.length - at);
        if (this.#codeBytes !== -1) this.#readCode(chunk.subarray(at, at + taken));
        this.#payload -= taken;
        at += taken;
      } else {
        this.#head[this.#headBytes] = chunk[at] as number;
        this.#headBytes += 1;
        at += 1;
        if (this.#headBytes < 2 || this.#headBytes < this.#headLength()) continue;
        this.#payload = this.#payloadLength();
        this.#headBytes = 0;
        this.messages += 1;
        const isClose = ((this.#head[0] as number) & opcodeBits) === closeOpcode;
        this.#codeBytes = isClose && this.closeCode === undefined ? 0 : -1;
        if (this.#codeBytes === 0) this.closeCode = noCode;
      }
      if (this.#payload === 0 && first === -1) first = at;
    }
    return first;
  }

  /**
   * Reads the two bytes of the code, masked by the first two bytes of the mask (section 5.3). They may come in
   * different chunks.
   */
  #readCode(payload: Uint8Array): void {
    const isMasked = (this.#head[1] as number) & masked;
    const maskAt = this.#headLength() - maskBytes;
    for (const byte of payload) {
      const mask = isMasked ? (this.#head[maskAt + this.#codeBytes] as number) : 0;
      this.#codeBytes += 1;
      if (this.#codeBytes === 1) {
        this.#firstOfCode = byte ^ mask;
        continue;
      }
      this.closeCode = (this.#firstOfCode << 8) | (byte ^ mask);
      this.#codeBytes = -1;
      return;
    }
  }

  #headLength(): number {
    const second = this.#head[1] as number;
    const short = second & 0x7f;
    return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (second & 0x80 ? 4 : 0);
  }

  #payloadLength(): number {
    const short = (this.#head[1] as number) & 0x7f;
    if (short === 126) return this.#head.readUInt16BE(2);
    return short === 127 ? Number(this.#head.readBigUInt64BE(2)) : short;
  }
}

const close = 0x88;

/**
 * A close frame with this code and no reason. @param fromClient clients mask what they send (section 5.3), with an
 * unpredictable mask
 */
export function closeFrame(code: number, fromClient: boolean): Buffer {
  const payload = Buffer.from([code >> 8, code & 0xff]);
  if (!fromClient) return Buffer.from([close, payload.length, ...payload]);
  const mask = randomBytes(4);
  const hidden = payload.map((byte, index) => byte ^ (mask[index % 4] as number));
  return Buffer.from([close, masked | payload.length, ...mask, ...hidden]);
}
