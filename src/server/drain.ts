// How a listener ends: every connection is answered once more, and told to close, for as long as requests come; then
// nobody new is let in, and what is left ends by itself or at the limit.
import { Server as TcpServer } from "node:net";
import type { Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { CarriedExchange } from "../exchange/context.ts";
import type { IntrusiveSet } from "../v8/intrusive-set.ts";
import type { Lingering } from "../client/lingering.ts";

/** What a drain looks at and ends. */
export interface Drained {
  readonly server: Server;
  readonly exchanges: IntrusiveSet<CarriedExchange>;
  readonly lingering: Lingering;
  /** Connections of clients that are open. */
  readonly connections: () => number;
}

export interface DrainLimits {
  /** Everything is over then. */
  readonly mostMs: number;
  /** Requests are served at least that long. */
  readonly leastMs: number;
}

const lookEveryMs = 20;
/** Of the limit: without a request or a connection for that long, nobody is taken to be on the way. */
const quietPart = 0.1;
/** Of the limit: in spite of traffic that does not end, nobody new is let in any more. */
const openPart = 0.8;

export class Drain {
  readonly #drained: Drained;
  #begun = false;
  #activeMono = 0;
  #accepted = 0;

  constructor(drained: Drained) {
    this.#drained = drained;
  }

  get begun(): boolean {
    return this.#begun;
  }

  /** From now on every answer closes its connection. */
  begin(): void {
    this.#begun = true;
  }

  /** A request has come. */
  active(): void {
    if (this.#begun) this.#activeMono = performance.now();
  }

  /** A connection has come, which will bring a request. */
  accepted(): void {
    this.#accepted += 1;
    this.active();
  }

  /** Resolves when nothing is left of the listener. */
  async run({ mostMs, leastMs }: DrainLimits): Promise<void> {
    const { server, exchanges, lingering } = this.#drained;
    this.begin();
    this.active();
    const beganMono = performance.now();
    const quietMs = mostMs * quietPart;
    await this.#quiet(quietMs, beganMono + Math.max(mostMs * openPart, leastMs), beganMono + leastMs);
    // They may go on while others are served; then they have the rest of the time to end.
    for (const exchange of exchanges.all()) exchange.tunnel?.goAway();
    await this.#emptyBacklog(performance.now() + (mostMs * (1 - openPart)) / 2);
    // Not the server's own: that would close connections, too, which may just have a request on the way.
    TcpServer.prototype.close.call(server);
    await this.#quiet(quietMs, beganMono + mostMs, 0);
    server.closeIdleConnections();
    lingering.hurry();
    const endMono = beganMono + mostMs;
    while (exchanges.size > 0 && performance.now() < endMono) await sleep(lookEveryMs);
    await this.#cutOff();
  }

  /** Resolves when no plain request is in flight and nobody seems to be on the way, or at the end. */
  async #quiet(quietMs: number, endMono: number, leastMono: number): Promise<void> {
    const { exchanges, connections } = this.#drained;
    for (;;) {
      const now = performance.now();
      if (now >= endMono) return;
      const all = exchanges.all();
      const plain = all.filter(({ inbound }) => !inbound.stream.upgrades).length;
      const upgrades = all.length - plain;
      const alone = connections() <= upgrades || now - this.#activeMono >= quietMs;
      if (plain === 0 && alone && now >= leastMono) return;
      await sleep(lookEveryMs);
    }
  }

  /**
   * The kernel resets the connections that nobody has taken when it closes a listening socket. With no room for new ones
   * it makes clients try again a second later, and those that are there are taken in the next turns of the event loop.
   */
  async #emptyBacklog(endMono: number): Promise<void> {
    // Not public in Node (26): `listen` again, with another backlog.
    const { _handle: handle } = this.#drained.server as { _handle?: { listen?(backlog: number): number } };
    handle?.listen?.(0);
    // A turn takes one (libuv 1.48): some without any are the end.
    for (let empty = 0; empty < 3 && performance.now() < endMono;) {
      const accepted = this.#accepted;
      await new Promise((resolve) => setImmediate(resolve));
      empty = this.#accepted === accepted ? empty + 1 : 0;
    }
  }

  async #cutOff(): Promise<void> {
    const { server, exchanges } = this.#drained;
    for (const exchange of exchanges.all()) {
      if (exchange.inbound.stream.upgrades) exchange.inbound.stream.destroy();
      exchange.live.abandonHooks();
    }
    server.closeAllConnections();
    // Stops the server's own timer.
    server.close();
    while (exchanges.size > 0) await sleep(1);
  }
}
