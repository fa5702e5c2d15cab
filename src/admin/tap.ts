// `GET /tap`: streams the heads of exchanges as they end, as server-sent events (WHATWG HTML section 9.2). Readers that
// are too slow are disconnected.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Counter, Logger } from "../plugin-api/telemetry.ts";
import { AdminProblem, type StreamedAnswer } from "./answer.ts";

export interface TapSource {
  /** @throws Error that says what is wrong with the parameters */
  read(query: URLSearchParams): { readonly forMs: number };
  /** @returns a function that ends the tap. @throws Error when there are too many */
  start(query: URLSearchParams, onEvent: (event: string, dropped: number) => void): () => void;
  /** Called when a tap begins. @param filter its parameters */
  begun(filter: string): void;
  /** Counts the readers that were too slow and were disconnected. */
  readonly slow: Counter;
}

/** Most bytes that may wait for a reader. */
const maxWaiting = 1_048_576;
/** Sent regularly, because a connection without traffic is closed after ten seconds. */
const beatMs = 4_000;

/** @throws AdminProblem 400, 429 */
export function tapAnswer(
  request: IncomingMessage,
  query: URLSearchParams,
  source: TapSource,
  logger: Logger,
): StreamedAnswer {
  const { forMs } = checked(400, () => source.read(query));
  const facts = { filter: query.toString().slice(0, 512), peer: request.socket.remoteAddress ?? "unix" };
  return {
    stream(response) {
      if (request.method === "HEAD") {
        writeHead(response);
        response.end();
        return;
      }
      const reader = new Reader(response, source.slow);
      // Before the head is written: the tap can still be refused.
      const stop = checked(429, () => source.start(query, (event, dropped) => reader.event(event, dropped)));
      writeHead(response);
      response.write(": heads of exchanges, a JSON object each\n\n");
      source.begun(facts.filter);
      logger.info(facts, "a tap begins: heads of exchanges are shown");
      const beat = setInterval(() => reader.beat(), beatMs);
      const limit = setTimeout(() => response.end(), forMs);
      response.once("close", () => {
        clearInterval(beat);
        clearTimeout(limit);
        stop();
        logger.info({ ...facts, events: reader.events, tooSlow: reader.cutOff }, "a tap ends");
      });
    },
  };
}

function checked<T>(status: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new AdminProblem(status, (error as Error).message);
  }
}

function writeHead(response: ServerResponse): void {
  response.writeHead(200, {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
}

class Reader {
  events = 0;
  cutOff = false;
  readonly #response: ServerResponse;
  readonly #slow: Counter;

  constructor(response: ServerResponse, slow: Counter) {
    this.#response = response;
    this.#slow = slow;
  }

  event(event: string, dropped: number): void {
    if (this.#response.destroyed || this.#response.writableEnded) return;
    if (this.#response.writableLength > maxWaiting) {
      this.cutOff = true;
      this.#slow.inc();
      this.#response.destroy();
      return;
    }
    this.events += 1;
    if (dropped > 0) this.#response.write(`event: dropped\ndata: {"dropped":${dropped}}\n\n`);
    this.#response.write(`data: ${event}\n\n`);
  }

  beat(): void {
    if (!this.#response.destroyed && !this.#response.writableEnded) this.#response.write(":\n\n");
  }
}
