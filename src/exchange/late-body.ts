// Limits the rest of a request body once the service has answered in full: it is dropped, but not without end.
import type { ServerStream } from "./server-stream.ts";

/** Once the answer is out, the client has the linger time to send the rest of the body, which saves the connection. */
export class LateBody {
  readonly #stream: ServerStream;
  #isAnswerOut = false;

  constructor(stream: ServerStream) {
    this.#stream = stream;
  }

  /** From now on, the connection is either free for the next request or over. */
  answerOut(): void {
    this.#isAnswerOut = true;
  }

  lingered(): void {
    if (!this.#stream.complete) this.#stream.destroy();
  }

  /** The body has exceeded the largest allowed size. */
  tooLarge(): void {
    // The same read may bring the body's end: then nothing is left to stop.
    process.nextTick(holdUp, this);
  }

  /** Stops reading the body. A client that has its answer also gets the end, and has time to see it before a reset. */
  holdUp(): void {
    if (this.#stream.complete) return;
    this.#stream.pause();
    if (this.#isAnswerOut) this.#stream.endHalf();
  }
}

function holdUp(body: LateBody): void {
  body.holdUp();
}
