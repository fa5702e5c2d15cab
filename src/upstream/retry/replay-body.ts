// Passes a streamed request body to the service, and keeps it within a limit so that it can be sent again.
import type { UpstreamCall } from "../transport.ts";

const none: readonly string[] = [];

export class ReplayBody {
  readonly #most: number;
  readonly #mayKeep: (bytes: number) => boolean;
  #chunks: Buffer[] | undefined = [];
  #bytes = 0;
  #kept: boolean | undefined = undefined;
  #ended = false;
  #trailers = none;

  /** @param mayKeep asked once, whether `most` bytes may be kept */
  constructor(most: number, mayKeep: (bytes: number) => boolean) {
    this.#most = most;
    this.#mayKeep = mayKeep;
  }

  /** The body is longer than what may be kept. */
  get lost(): boolean {
    return this.#chunks === undefined;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** @param needed there is no other copy of the chunk: it is kept until it was sent */
  add(chunk: Buffer, needed: boolean): void {
    if (this.#chunks === undefined) return;
    const fits = this.#bytes + chunk.length <= this.#most && (this.#kept ??= this.#mayKeep(this.#most));
    if (!needed && !fits) this.forget();
    else {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
    }
  }

  end(trailers: readonly string[]): void {
    this.#ended = true;
    this.#trailers = trailers;
  }

  /** Sends what is kept. @returns false = the call can take no more now */
  sendTo(call: UpstreamCall): boolean {
    let more = true;
    for (const chunk of this.#chunks ?? []) more = call.write(chunk);
    if (this.#bytes > this.#most || this.#kept === false) this.forget();
    if (this.#ended) call.end(this.#trailers);
    return more;
  }

  forget(): void {
    this.#chunks = undefined;
  }
}
