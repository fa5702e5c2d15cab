// Handles clients that end their side of the connection while they wait for an answer. They may have said all they had
// to say (`nc -N`), or they have left. TCP shows which only by its reaction to the next bytes.
import type { ClientWriter } from "./respond.ts";
import type { ServerStream } from "./server-stream.ts";

/** When the first probe is sent: most answers are complete before that. */
const firstProbeMs = 250;
/** A reset caused by the first probe shows at the second. */
const secondProbeMs = 50;
const probeMs = 5_000;

/**
 * Until the head of the answer, probes by interim responses, which every HTTP/1.1 client accepts (RFC 9110 section
 * 15.2), whether the client is still there. After the head, the answer's own bytes serve as probes: a client that has
 * left resets the connection. A client that ends its side in the middle of an answer has most likely left: the exchange
 * does not wait for a silent service then.
 */
export class HalfClosed {
  readonly #stream: ServerStream;
  readonly #writer: ClientWriter;
  readonly #endedInAnswer: boolean;
  #timer: NodeJS.Timeout;
  #bytesWritten = -1;
  #probes = 0;

  constructor(stream: ServerStream, writer: ClientWriter) {
    this.#stream = stream;
    this.#writer = writer;
    this.#endedInAnswer = writer.headSent;
    this.#timer = setTimeout(() => this.#probe(), firstProbeMs);
  }

  /** Call when the answer is out or the connection gone. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #probe(): void {
    const { bytesWritten } = this.#stream;
    if (this.#writer.headSent) {
      if (!this.#endedInAnswer) return;
      if (bytesWritten === this.#bytesWritten) {
        this.#stream.destroy();
        return;
      }
      this.#bytesWritten = bytesWritten;
    } else this.#stream.interim(102, []);
    this.#probes += 1;
    const soon = this.#probes === 1 && !this.#endedInAnswer;
    this.#timer = setTimeout(() => this.#probe(), soon ? secondProbeMs : probeMs);
  }
}
