// Clients that end their side of the connection while they wait for an answer. That may be all they had to say
// (`nc -N`), or they have left: TCP tells only by what it does with the next bytes.
import type { Socket } from "node:net";
import { exchangeOn } from "./context.ts";
import type { ClientWriter } from "./respond.ts";

/** When the first bytes try whether somebody is there: most answers are through before. */
const firstProbeMs = 250;
/** The reset that the first bytes caused shows at the next ones. */
const secondProbeMs = 50;
const probeMs = 5_000;

/** For the connection's `end` event. */
export function clientEnded(this: Socket): void {
  exchangeOn(this)?.clientEnded();
}

/**
 * Tries until the head of the answer whether the client is still there, by an interim response, which every HTTP/1.1
 * client takes (RFC 9110 section 15.2). Behind the head the answer's own bytes do: one that has left resets the connection
 * at them, and one that stays may wait for a service that is silent.
 */
export class HalfClosed {
  readonly #writer: ClientWriter;
  #timer: NodeJS.Timeout;
  #probes = 0;

  constructor(socket: Socket, writer: ClientWriter) {
    this.#writer = writer;
    this.#timer = setTimeout(() => this.#probe(), firstProbeMs);
    // Errors and the end of the answer both close it.
    socket.once("close", () => clearTimeout(this.#timer));
  }

  #probe(): void {
    if (this.#writer.headSent) return;
    this.#writer.interim(102, []);
    this.#probes += 1;
    this.#timer = setTimeout(() => this.#probe(), this.#probes === 1 ? secondProbeMs : probeMs);
  }
}
