// How a listener ends: every connection is answered once more, and told to close, for as long as requests come; then
// nobody new is let in, and what is left ends by itself or at the limit.
import { setTimeout as sleep } from "node:timers/promises";
import type { CarriedExchange } from "../exchange/context.ts";
import type { IntrusiveSet } from "../v8/intrusive-set.ts";
import type { ClientServer } from "./client-server.ts";
import type { ListeningSockets } from "./listening-sockets.ts";
import type { Lingering } from "../client/lingering.ts";

/** What a drain looks at and ends. */
export interface Drained {
  readonly server: ClientServer;
  readonly sockets: Pick<ListeningSockets, "takeBacklog" | "close">;
  readonly exchanges: IntrusiveSet<CarriedExchange>;
  readonly lingering: Lingering;
  /** Connections of clients that are open. */
  readonly connections: () => number;
  /** Connections with many streams; absent = there are none. */
  readonly sessions?: { beginDrain(): void; close(): void; destroy(): void } | undefined;
}

export interface DrainLimits {
  /** Everything is over then. */
  readonly maxMs: number;
  /** Requests are served at least that long. */
  readonly minMs: number;
}

/** Takes what waits at the listening socket, which is closed then; resolves when that is done, or at `endMono`. */
export type TakeBacklog = (endMono: number) => Promise<void>;

const lookEveryMs = 20;
const lastWordMs = 20;
/** Of the limit: without a request or a connection for that long, nobody is taken to be on the way. */
const quietPart = 0.1;
/** Without a connection for that long, nobody is taken to come. */
const lullMs = 50;
/** Of the limit: in spite of traffic that does not end, nobody new is let in any more. */
const openPart = 0.8;
/** Of the limit: those that are waiting to be let in. */
const backlogPart = 0.1;

export function drainLimits(config: { readonly drainMs: number; readonly drainMinMs: number }): DrainLimits {
  return { maxMs: Math.max(config.drainMs, config.drainMinMs), minMs: config.drainMinMs };
}

/** When, from its beginning, a drain lets nobody new in, and when its listening socket is closed, at the latest. */
export function phasesOf({ maxMs, minMs }: DrainLimits): { openMs: number; closedMs: number } {
  const openMs = Math.max(maxMs * openPart, minMs);
  return { openMs, closedMs: openMs + maxMs * backlogPart };
}

export class Drain {
  readonly #drained: Drained;
  #begun = false;
  #activeMono = 0;

  constructor(drained: Drained) {
    this.#drained = drained;
  }

  get begun(): boolean {
    return this.#begun;
  }

  /** From now on every answer closes its connection. */
  begin(): void {
    if (!this.#begun) this.#drained.sessions?.beginDrain();
    this.#begun = true;
  }

  /** A request has come, or a connection, which will bring one. */
  active(): void {
    if (this.#begun) this.#activeMono = performance.now();
  }

  /**
   * Resolves when nothing is left of the listener.
   * @param takeBacklog of listening sockets that another process has
   */
  async run(limits: DrainLimits, takeBacklog?: TakeBacklog): Promise<void> {
    const { maxMs, minMs } = limits;
    const { openMs, closedMs } = phasesOf(limits);
    const { server, sockets, exchanges, lingering } = this.#drained;
    this.begin();
    this.active();
    const beganMono = performance.now();
    const quietMs = maxMs * quietPart;
    await this.#quiet(quietMs, beganMono + openMs, beganMono + minMs);
    // They may go on while others are served; then they have the rest of the time to end.
    for (const exchange of exchanges.all()) exchange.goAway();
    const closedMono = beganMono + closedMs;
    await Promise.all([sockets.takeBacklog(closedMono), takeBacklog?.(closedMono)]);
    sockets.close();
    await this.#quiet(quietMs, beganMono + maxMs, 0);
    server.closeIdleConnections();
    this.#drained.sessions?.close();
    lingering.hurry();
    const endMono = beganMono + maxMs;
    while (exchanges.size > 0 && performance.now() < endMono - lastWordMs) await sleep(lookEveryMs);
    await this.#cutOff();
  }

  /** Resolves when no plain request is in flight and nobody seems to be on the way, or at the end. */
  async #quiet(quietMs: number, endMono: number, minMono: number): Promise<void> {
    const { exchanges, connections } = this.#drained;
    for (;;) {
      const now = performance.now();
      if (now >= endMono) return;
      const all = exchanges.all();
      const plain = all.filter(({ lastsLong }) => !lastsLong).length;
      const lasting = all.length - plain;
      const alone =
        now - this.#activeMono >= (connections() <= lasting ? Math.min(lullMs, quietMs) : quietMs);
      if (plain === 0 && alone && now >= minMono) return;
      await sleep(lookEveryMs);
    }
  }

  async #cutOff(): Promise<void> {
    const { server, exchanges } = this.#drained;
    for (const exchange of exchanges.all()) {
      exchange.shutDown();
      exchange.live.abandonHooks();
    }
    // What has words for its end has a moment to say them.
    if (exchanges.size > 0) await sleep(lastWordMs);
    this.#drained.sessions?.destroy();
    server.closeAllConnections();
    // Stops the server's own timer.
    server.close();
    while (exchanges.size > 0) await sleep(1);
  }
}
