// Counts the gRPC messages in one direction of a call. Each begins with a flag byte and a length of four bytes
// (PROTOCOL-HTTP2.md, "Length-Prefixed-Message"). Nothing else is read.

const prefixBytes = 5;

export class GrpcMessages {
  messages = 0;
  #prefix = 0;
  #length = 0;
  /** Bytes of the current message that are still to come. */
  #left = 0;

  follow(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
        at += taken;
        continue;
      }
      if (this.#prefix > 0) this.#length = this.#length * 256 + (chunk[at] as number);
      this.#prefix += 1;
      at += 1;
      if (this.#prefix < prefixBytes) continue;
      this.messages += 1;
      this.#left = this.#length;
      this.#prefix = 0;
      this.#length = 0;
    }
  }
}
