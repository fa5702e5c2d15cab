// The rest of a request that the service has answered in full: read for nobody, but not without end.
import type { ServerStream } from "./server-stream.ts";

/** Once the answer is out, its connection has as long to bring the rest as one may linger, and goes on if it does. */
export class LateBody {
  readonly #stream: ServerStream;
  #isAnswerOut = false;

  constructor(stream: ServerStream) {
    this.#stream = stream;
  }

  /** Its connection is either free for the next request from then on, or over. */
  answerOut(): void {
    this.#isAnswerOut = true;
  }

  lingered(): void {
    if (!this.#stream.complete) this.#stream.destroy();
  }

  /** It has become larger than a body may be. */
  tooLarge(): void {
    // The same read may bring its end: then nothing is left to hold up.
    process.nextTick(holdUp, this);
  }

  /** No more of it is read. A client that has its answer is told the end, and has time to see it until the reset. */
  holdUp(): void {
    if (this.#stream.complete) return;
    this.#stream.pause();
    if (this.#isAnswerOut) this.#stream.endHalf();
  }
}

function holdUp(body: LateBody): void {
  body.holdUp();
}
