// Drains a listener. While requests still come, every connection gets one more answer, which tells it to close. Then
// the listener accepts no new connections; the rest end by themselves or at the limit.
import { setTimeout as sleep } from "node:timers/promises";
import type { CarriedExchange } from "../exchange/context.ts";
import type { IntrusiveSet } from "../v8/intrusive-set.ts";
import type { ClientServer } from "./client-server.ts";
import type { ListeningSockets } from "./listening-sockets.ts";
import type { Lingering } from "../client/lingering.ts";

/** The parts of a listener that a drain watches and ends. */
export interface Drained {
  readonly server: ClientServer;
  readonly sockets: Pick<ListeningSockets, "takeBacklog" | "close">;
  readonly exchanges: IntrusiveSet<CarriedExchange>;
  readonly lingering: Lingering;
  /** The number of open client connections. */
  readonly connections: () => number;
  /** The HTTP/2 sessions; absent = there are none. */
  readonly sessions?: { beginDrain(): void; close(): void; destroy(): void } | undefined;
}

export interface DrainLimits {
  /** The drain ends everything after this time. */
  readonly maxMs: number;
  /** Requests are served for at least this long. */
  readonly minMs: number;
}

/** Accepts what waits at the listening socket, then closes the socket. Resolves when that is done, or at `endMono`. */
export type TakeBacklog = (endMono: number) => Promise<void>;

const lookEveryMs = 20;
const lastWordMs = 20;
/** Part of the limit: after so long without a request or a connection, no more are expected. */
const quietPart = 0.1;
/** After so long without a connection, none is expected; used if every open connection carries a long exchange. */
const lullMs = 50;
/** Part of the limit: after so long, nobody new is let in, even if traffic does not end. */
const openPart = 0.8;
/** Part of the limit: the time for accepting connections that wait in the backlog. */
const backlogPart = 0.1;

export function drainLimits(config: { readonly drainMs: number; readonly drainMinMs: number }): DrainLimits {
  return { maxMs: Math.max(config.drainMs, config.drainMinMs), minMs: config.drainMinMs };
}

/** How long after its start a drain accepts nobody new, and by when its listening socket is closed. */
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

  /** From now on, every answer closes its connection. */
  begin(): void {
    if (!this.#begun) this.#drained.sessions?.beginDrain();
    this.#begun = true;
  }

  /** Notes that a request has come, or a connection that will bring one. */
  active(): void {
    if (this.#begun) this.#activeMono = performance.now();
  }

  /**
   * Resolves when nothing of the listener is left.
   * @param takeBacklog does the same for listening sockets of another process
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
    // Long exchanges may go on while others are served. After that they have the remaining time to end.
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

  /** Resolves when no short exchange is in flight and no new request is expected, or at `endMono`. */
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
    // Exchanges that can announce their end get a moment to send it.
    if (exchanges.size > 0) await sleep(lastWordMs);
    this.#drained.sessions?.destroy();
    server.closeAllConnections();
    // This stops the server's own timer.
    server.close();
    while (exchanges.size > 0) await sleep(1);
  }
}
