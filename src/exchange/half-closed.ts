// Clients that end their side of the connection while they wait for an answer. That may be all they had to say
// (`nc -N`), or they have left: TCP tells only by what it does with the next bytes.
import type { ClientWriter } from "./respond.ts";
import type { ServerStream } from "./server-stream.ts";

/** When the first bytes try whether somebody is there: most answers are through before. */
const firstProbeMs = 250;
/** The reset that the first bytes caused shows at the next ones. */
const secondProbeMs = 50;
const probeMs = 5_000;

/**
 * Tries until the head of the answer whether the client is still there, by an interim response, which every HTTP/1.1
 * client takes (RFC 9110 section 15.2). Behind the head the answer's own bytes do: one that has left resets the connection
 * at them. Who ends its side in the middle of an answer has most likely left: it waits for no service that is silent.
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

  /** The answer is out, or the connection gone. */
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
