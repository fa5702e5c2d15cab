// Reads sections of a WebAssembly module before V8 does. No length is trusted before the bytes are there.

export class MalformedModule extends Error {
  override readonly name = "MalformedModule";
}

export class BinaryReader {
  at: number;
  readonly end: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new MalformedModule("it ends too soon");
    const byte = this.#bytes[this.at] as number;
    this.at += 1;
    return byte;
  }

  /** Reads an unsigned LEB128 of up to 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) {
        if (value > 0xff_ff_ff_ff) break;
        return value;
      }
    }
    throw new MalformedModule("a number is too large");
  }

  /** Skips a LEB128 of up to 64 bits, whose value does not matter. */
  skipNumber(): void {
    for (let i = 0; i < 10; i += 1) {
      if (this.byte() < 128) return;
    }
    throw new MalformedModule("a number is too large");
  }

  /** Reads the next bytes and advances past them. */
  slice(length: number): Buffer {
    if (this.at + length > this.end) throw new MalformedModule("it ends too soon");
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  name(): string {
    return this.slice(this.u32()).toString();
  }
}
