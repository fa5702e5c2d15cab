// Holds the part of a service's body that comes while hooks work on its head. It waits, or is collected for a hook that
// wants the whole body.
import { addPart } from "../http1/parts.ts";

export class EarlyBody {
  /** The trailers of a complete body; undefined = more is to come. */
  trailers: readonly string[] | undefined = undefined;
  readonly #chunks: Buffer[] = [];
  #loose = 0;
  #bytes = 0;
  #maxBytes = 0;
  #collected: ((body: Buffer | undefined) => void) | undefined = undefined;

  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  /** @returns false = pause the body */
  push(bytes: Buffer): boolean {
    this.#loose = addPart(this.#chunks, bytes, this.#loose);
    this.#bytes += bytes.length;
    if (this.#collected === undefined) return false;
    if (this.#bytes <= this.#maxBytes) return true;
    this.giveUp();
    return false;
  }

  end(trailers: readonly string[]): void {
    this.trailers = trailers;
    this.#settle(this.#bytes > this.#maxBytes ? undefined : Buffer.concat(this.#chunks));
  }

  /**
   * @param resume lets more of the body come
   * @returns undefined if the body is longer than `maxBytes` or breaks off; what has come still waits
   */
  collect(maxBytes: number, resume: () => void): Promise<Buffer | undefined> {
    this.#maxBytes = maxBytes;
    return new Promise((resolve) => {
      this.giveUp();
      this.#collected = resolve;
      if (this.trailers !== undefined) this.end(this.trailers);
      else if (this.#bytes > maxBytes) this.giveUp();
      else resume();
    });
  }

  giveUp(): void {
    this.#settle(undefined);
  }

  #settle(body: Buffer | undefined): void {
    const collected = this.#collected;
    this.#collected = undefined;
    collected?.(body);
  }
}
