// Clients that send one request after the other, at most 100 a second each. Reports failures and latencies.
import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";

export class PacedLoad {
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #clients: Promise<void>[];
  readonly #onAnswer: (answer: http.IncomingMessage) => void;
  #times: number[] = [];
  #ended = false;
  answered = 0;
  failed = 0;

  constructor(url: string, clients: number, onAnswer: (answer: http.IncomingMessage) => void = () => {}) {
    this.#onAnswer = onAnswer;
    this.#clients = Array.from({ length: clients }, () => this.#askOn(url));
  }

  /** Latency in ms at this quantile since the last call; 1 = the maximum. */
  percentile(part: number): number {
    const sorted = this.#times.toSorted((a, b) => a - b);
    this.#times = [];
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
  }

  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  async #askOn(url: string): Promise<void> {
    while (!this.#ended) {
      const from = performance.now();
      const status = await new Promise<number>((resolve) => {
        http
          .get(url, { agent: this.#agent }, (answer) => {
            this.#onAnswer(answer);
            answer.resume().once("close", () => resolve(answer.complete ? (answer.statusCode ?? 0) : 0));
          })
          .once("error", () => resolve(0));
      });
      this.#times.push(performance.now() - from);
      this.answered += 1;
      if (status !== 200) this.failed += 1;
      await delay(10);
    }
  }
}
