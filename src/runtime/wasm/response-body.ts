// Passes a response's body through a guest, chunk by chunk. Bytes that the guest holds back are kept, within a limit.
import { Transform, type TransformCallback } from "node:stream";
import type { MaybePromise } from "../../plugin-api/contract.ts";
import { after } from "./after.ts";

export interface ResponseBodyParts {
  /** Shows the guest more bytes. @returns whether everything it was shown so far may be sent on */
  readonly show: (bytes: string, isLast: boolean) => MaybePromise<boolean>;
  /** Limit of the bytes held back. */
  readonly maxBytes: number;
  /** Length announced by the head; NaN = none. */
  readonly announced: number;
}

export class ResponseBody extends Transform {
  readonly #parts: ResponseBodyParts;
  /** Bytes that the guest holds back. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #came = 0;
  /** Kept for one turn: if the end follows at once, these bytes are shown as the last ones. */
  #next: Buffer | undefined = undefined;
  #changed: Buffer | undefined = undefined;
  #isThrough = false;
  #working: MaybePromise<void> = undefined;

  constructor(parts: ResponseBodyParts) {
    super();
    this.#parts = parts;
  }

  /** Replaces everything that the guest was shown and has not let go on. */
  replace(bytes: string): void {
    this.#changed = Buffer.from(bytes, "latin1");
  }

  /** The guest is gone: the rest passes unchanged. */
  letThrough(): void {
    this.#isThrough = true;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#came += chunk.length;
    this.#do(() => {
      const { announced } = this.#parts;
      if (!Number.isNaN(announced)) return this.#show(chunk, this.#came === announced);
      const before = this.#next;
      this.#next = chunk;
      setImmediate(() => this.#showWaiting(chunk));
      return before === undefined ? undefined : this.#show(before, false);
    }, done);
  }

  override _flush(done: TransformCallback): void {
    if (this.#came === this.#parts.announced) done();
    else
      this.#do(() => {
        const last = this.#next ?? Buffer.alloc(0);
        this.#next = undefined;
        return this.#show(last, true);
      }, done);
  }

  /** Shows bytes that the end did not follow at once. */
  #showWaiting(chunk: Buffer): void {
    if (this.#next !== chunk || this.destroyed) return;
    this.#next = undefined;
    this.#do(
      () => this.#show(chunk, false),
      (error) => {
        if (error) this.destroy(error);
      },
    );
  }

  /** Runs work in order: after the work before it. */
  #do(work: () => MaybePromise<void>, tell: TransformCallback): void {
    const fail = (error: unknown): void => tell(error instanceof Error ? error : new Error(String(error)));
    try {
      const working = after(this.#working, work);
      this.#working = working;
      if (working instanceof Promise) working.then(() => tell(), fail);
      else {
        this.#working = undefined;
        tell();
      }
    } catch (error) {
      fail(error);
    }
  }

  #show(chunk: Buffer, isLast: boolean): MaybePromise<void> {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#isThrough) return this.#letGo();
    if (this.#heldBytes > this.#parts.maxBytes)
      throw new Error(`a guest held back more than ${this.#parts.maxBytes} bytes of a response`);
    return after(this.#parts.show(chunk.toString("latin1"), isLast), (goesOn) => {
      if (goesOn || this.#isThrough) this.#letGo();
    });
  }

  #letGo(): void {
    const all = this.#changed === undefined ? this.#held : [this.#changed];
    this.#held = [];
    this.#heldBytes = 0;
    this.#changed = undefined;
    for (const bytes of all) if (bytes.length > 0) this.push(bytes);
  }
}
