// Compresses a short body in one synchronous call once it is complete. A zlib stream would double the cost (memory,
// threads); the call blocks the event loop for at most half a millisecond.
import { type Duplex, Transform, type TransformCallback } from "node:stream";

/** Only for bodies with a Content-Length: their end comes soon, so waiting for it delays nothing else. */
export const shortBytes = 32_768;

export class ShortBody extends Transform {
  bytesWritten = 0;
  #chunks: Buffer[] = [];
  #streaming: Duplex | undefined = undefined;
  readonly #whole: (body: Buffer) => Buffer;
  readonly #stream: () => Duplex;

  /**
   * @param whole compresses the whole body @param stream makes the stream for a body that gets longer than announced
   */
  constructor(whole: (body: Buffer) => Buffer, stream: () => Duplex) {
    super();
    this.#whole = whole;
    this.#stream = stream;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytesWritten += chunk.length;
    if (this.#streaming !== undefined) return void this.#streaming.write(chunk, done);
    this.#chunks.push(chunk);
    if (this.bytesWritten <= shortBytes) return done();
    // Another plugin has made the body longer than announced.
    this.#streaming = this.#stream().on("data", (bytes: Buffer) => this.push(bytes));
    this.#streaming.on("error", (error) => this.destroy(error));
    this.#streaming.write(Buffer.concat(this.#chunks), done);
    this.#chunks = [];
  }

  override _flush(done: TransformCallback): void {
    if (this.#streaming !== undefined) {
      this.#streaming.once("end", () => done()).end();
      return;
    }
    const [only] = this.#chunks;
    done(null, this.#whole(this.#chunks.length === 1 && only ? only : Buffer.concat(this.#chunks)));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#streaming?.destroy();
    done(error);
  }
}
