// A bounded pool of kept-alive connections to one upstream: the fast implementation of UpstreamTransport.
import { GatewayError } from "../plugin-api/errors.ts";
import { CoarseTimer } from "./coarse-timer.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { Connector } from "./connector.ts";
import { Exchange, type Holder } from "./exchange.ts";
import { OwnConnections } from "./own-connections.ts";
import { encodeHead } from "../http1/head-writer.ts";
import { dominant } from "./shares.ts";
import type {
  OwnConnectionHandler,
  OwnRequest,
  TransportCounts,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTarget,
  UpstreamTransport,
} from "./transport.ts";
import { WaitQueue } from "./wait-queue.ts";

export interface PoolOptions {
  readonly maxConnections: number;
  /** Exchanges that may wait for a connection; any more are refused as `overloaded`. */
  readonly maxQueued: number;
  /** Connections that upgrades may take over. Absent: as many as `maxConnections`. */
  readonly maxUpgrades?: number;
  /** Should be below the service's own limit. If a service announces a limit, idle connections end 1 s before it. */
  readonly idleTimeoutMs: number;
  /** Percent of connections and queue that one client may have, above 50. Absent: all. */
  readonly clientShare?: number;
}

/**
 * What must not be sent twice only goes over a connection used this recently: an unseen close is least likely there.
 */
const FRESH_MS = 1000;
/** If possible, it also goes over one idle this long: a close right after the last answer may still be on its way. */
const SETTLED_MS = 2;

/** @throws Error if the target's `ca` is not PEM */
export function createPooledTransport(target: UpstreamTarget, options: PoolOptions): UpstreamTransport {
  return new PooledTransport(target, options);
}

class PooledTransport implements UpstreamTransport, ConnectionOwner, Holder {
  readonly #options: PoolOptions;
  readonly #connector: Connector;
  readonly #connections = new Set<Connection>();
  /** Last in, first out: the pool shrinks to what is needed, and takes the connection that is least likely stale. */
  readonly #idle: Connection[] = [];
  /** Exchanges wait here only while every connection is busy, or while their client has its full share. */
  readonly #queue = new WaitQueue();
  readonly #timer = new CoarseTimer((now) => this.#expire(now));
  readonly #maxOfOne: number;
  readonly #maxQueuedOfOne: number;
  readonly #own: OwnConnections;
  /** The service learns the client by its connection (PROXY protocol), so clients share none. */
  readonly #perClient: boolean;
  #closing = false;
  /**
   * The service has sent bytes that nobody asked for, such as a second answer: more may wait on any connection when a
   * request is sent, and would be taken for its answer. To look first costs two turns of the event loop, so services
   * that never did this are spared it. What is sent once the request is out cannot be told from its answer.
   */
  #wary = false;

  constructor(target: UpstreamTarget, options: PoolOptions) {
    this.#options = options;
    this.#connector = new Connector(target);
    this.#perClient = target.proxyProtocol !== undefined;
    const share = (options.clientShare ?? 100) / 100;
    this.#maxOfOne = Math.ceil(options.maxConnections * share);
    this.#maxQueuedOfOne = Math.ceil(options.maxQueued * share);
    const maxOwn = options.maxUpgrades ?? options.maxConnections;
    this.#own = new OwnConnections(this.#connector, maxOwn, Math.ceil(maxOwn * share));
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const exchange = new Exchange(request, handler);
    const head = encodeHead(request);
    if (head instanceof GatewayError) {
      exchange.failSoon(head);
      return exchange;
    }
    exchange.setHead(head);
    if (this.#perClient) exchange.origin = request.clientAddress ?? "";
    const now = performance.now();
    exchange.waitUntil = now + request.connectTimeoutMs;
    if (exchange.client !== undefined && exchange.client === this.#dominant()) {
      this.#enqueue(exchange);
      return exchange;
    }
    const idle = this.#takeIdle(exchange, now);
    if (idle === undefined) this.#place(exchange, now);
    else this.#hand(idle, exchange, now);
    return exchange;
  }

  openOwn(request: OwnRequest, handler: OwnConnectionHandler): () => void {
    return this.#own.open(request, handler);
  }

  counts(): TransportCounts {
    const idle = this.#idle.length;
    return {
      active: this.#connections.size - idle,
      idle,
      queued: this.#queue.size,
      upgraded: this.#own.size,
    };
  }

  close(): void {
    this.#closing = true;
    for (const connection of this.#idle.slice()) connection.close();
  }

  released(connection: Connection): void {
    const now = performance.now();
    const next = this.#next();
    if (next !== undefined) {
      if (next.origin === connection.origin && !connection.isOutdated) this.#hand(connection, next, now);
      else connection.close(next);
      return;
    }
    const limitMs = connection.idleLimitMs(this.#options.idleTimeoutMs);
    if (this.#closing || limitMs <= 0 || connection.isOutdated) {
      connection.close();
      return;
    }
    connection.idleSince = now;
    connection.deadlineAt = now + limitMs;
    this.#idle.push(connection);
  }

  unsolicited(): void {
    this.#wary = true;
  }

  closed(connection: Connection, retry: Exchange | undefined): void {
    this.#connections.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
    const next = retry ?? this.#next();
    if (next !== undefined) this.#openAnew(next);
    if (this.#connections.size === 0) this.#timer.stop();
  }

  /** Called when the exchange was aborted while queued. */
  drop(exchange: Exchange): void {
    this.#queue.remove(exchange);
  }

  #takeIdle(exchange: Exchange, now: number): Connection | undefined {
    if (!exchange.repeatable) return this.#takeSettled(exchange.origin, now, SETTLED_MS, FRESH_MS);
    if (this.#perClient) return this.#takeSettled(exchange.origin, now, 0, Infinity);
    for (let last = this.#idle.at(-1); last !== undefined; last = this.#idle.at(-1)) {
      if (last.deadlineAt > now && !last.isOutdated) return this.#idle.pop();
      last.close();
    }
    return undefined;
  }

  /** The most recently used connection whose idle time is between `minMs` and `mostMs`. */
  #takeSettled(
    origin: string | undefined,
    now: number,
    minMs: number,
    mostMs: number,
  ): Connection | undefined {
    for (let at = this.#idle.length - 1; at >= 0; at -= 1) {
      const each = this.#idle[at] as Connection;
      const idleMs = now - each.idleSince;
      if (idleMs > mostMs) return undefined;
      if (idleMs < minMs || each.deadlineAt <= now || each.origin !== origin || each.isOutdated) continue;
      this.#idle.splice(at, 1);
      return each;
    }
    return undefined;
  }

  /** Sends the exchange over a connection that has carried others: the service may have closed it. */
  #hand(connection: Connection, exchange: Exchange, now: number): void {
    if (exchange.repeatable && !this.#wary && !connection.unread) connection.carry(exchange, now);
    else connection.carryWhenSeenOpen(exchange);
  }

  #place(exchange: Exchange, now: number): void {
    const { maxConnections } = this.#options;
    const full = this.#connections.size >= maxConnections;
    const young =
      full && !exchange.repeatable ? this.#takeSettled(exchange.origin, now, 0, FRESH_MS) : undefined;
    if (young !== undefined) {
      this.#hand(young, exchange, now);
      return;
    }
    // Idle connections are left if they are too old for this exchange, or belong to another client.
    if (full) this.#idle[0]?.close();
    if (this.#connections.size < maxConnections) this.#open(exchange);
    else this.#enqueue(exchange);
  }

  #enqueue(exchange: Exchange): void {
    const queue = this.#queue;
    const full = queue.size >= this.#options.maxQueued || queue.countOf(exchange) >= this.#maxQueuedOfOne;
    if (full) exchange.failSoon(overloaded("Too many requests are waiting for the service."));
    else {
      exchange.heldBy(this);
      queue.push(exchange);
    }
  }

  #next(): Exchange | undefined {
    return this.#queue.size === 0 ? undefined : this.#queue.shiftPast(this.#dominant());
  }

  /** The client that has its full share of connections. */
  #dominant(): string | undefined {
    const busy = this.#connections.size - this.#idle.length;
    return busy < this.#maxOfOne || this.#maxOfOne === this.#options.maxConnections
      ? undefined
      : dominant(this.#connections, this.#maxOfOne);
  }

  #open(exchange: Exchange): void {
    this.#timer.start();
    this.#connections.add(new Connection(this.#connector, this, exchange));
  }

  /** Opens another connection, with the full connect timeout: the wait so far was not for this connection. */
  #openAnew(exchange: Exchange): void {
    exchange.waitUntil = performance.now() + exchange.request.connectTimeoutMs;
    this.#open(exchange);
  }

  #expire(now: number): void {
    for (const late of this.#queue.expired(now)) {
      late.fail(overloaded("The service has had no room for the request in time."));
    }
    for (const connection of this.#connections) connection.expire(now);
  }
}

export function overloaded(detail: string): GatewayError {
  return new GatewayError("overloaded", detail, { fields: ["Retry-After", "1"] });
}
