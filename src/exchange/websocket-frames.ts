// Where the frames of a WebSocket end (RFC 6455 section 5.2), one direction: between two of them, also within a
// fragmented message, a control frame of ours may be put in. Nothing else of them is looked at.
import { randomBytes } from "node:crypto";

/** Longest head of a frame: two bytes, a length of eight, a mask of four. */
const maxHead = 14;

export class FrameFollower {
  readonly #head = Buffer.alloc(maxHead);
  /** Frames whose head is through. */
  messages = 0;
  #headBytes = 0;
  /** Bytes of payload that are still to come. */
  #payload = 0;

  /** Whether what has been seen ends with a whole frame. */
  get between(): boolean {
    return this.#headBytes === 0 && this.#payload === 0;
  }

  /** @returns where in the chunk the first frame that ends in it does; -1 = none does */
  follow(chunk: Uint8Array): number {
    let first = -1;
    let at = 0;
    while (at < chunk.length) {
      if (this.#payload > 0) {
        const taken = Math.min(this.#payload, chunk.length - at);
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
      }
      if (this.#payload === 0 && first === -1) first = at;
    }
    return first;
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
const masked = 0x80;

/** A close frame with this code and no reason. @param fromClient clients mask what they send (section 5.3), with what nobody foresees */
export function closeFrame(code: number, fromClient: boolean): Buffer {
  const payload = Buffer.from([code >> 8, code & 0xff]);
  if (!fromClient) return Buffer.from([close, payload.length, ...payload]);
  const mask = randomBytes(4);
  const hidden = payload.map((byte, index) => byte ^ (mask[index % 4] as number));
  return Buffer.from([close, masked | payload.length, ...mask, ...hidden]);
}
