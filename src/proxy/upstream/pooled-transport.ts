// A bounded pool of kept-alive connections to one upstream: the fast implementation of UpstreamTransport.
import { GatewayError } from "../../pipeline/errors.ts";
import { CoarseTimer } from "./coarse-timer.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { Connector, connectTimeout } from "./connector.ts";
import { Exchange, type Holder } from "./exchange.ts";
import { encodeHead } from "./request-head.ts";
import type {
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
  /** Exchanges that may wait for a connection; more are refused as `overloaded`. */
  readonly maxQueued: number;
  /** Below the service's own limit; where a service announces one, 1 s below that. */
  readonly idleTimeoutMs: number;
}

/** What cannot be sent twice goes only over a connection used this lately, where a silent close is least likely. */
const FRESH_MS = 1000;

/** @throws Error when the target's `ca` is not PEM */
export function createPooledTransport(target: UpstreamTarget, options: PoolOptions): UpstreamTransport {
  return new PooledTransport(target, options);
}

class PooledTransport implements UpstreamTransport, ConnectionOwner, Holder {
  readonly #options: PoolOptions;
  readonly #connector: Connector;
  readonly #connections = new Set<Connection>();
  /** Last in, first out: the pool shrinks to what is needed, and the one taken is the least likely to be stale. */
  readonly #idle: Connection[] = [];
  /** Not empty only while every connection is busy. */
  readonly #queue = new WaitQueue();
  readonly #timer = new CoarseTimer((now) => this.#expire(now));
  #closing = false;

  constructor(target: UpstreamTarget, options: PoolOptions) {
    this.#options = options;
    this.#connector = new Connector(target);
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const exchange = new Exchange(request, handler);
    const head = encodeHead(request);
    if (head instanceof GatewayError) {
      exchange.failSoon(head);
      return exchange;
    }
    exchange.setHead(head);
    const now = performance.now();
    exchange.waitUntil = now + request.connectTimeoutMs;
    const idle = this.#takeIdle(exchange, now);
    if (idle === undefined) this.#place(exchange);
    else idle.carry(exchange, now);
    return exchange;
  }

  counts(): TransportCounts {
    const idle = this.#idle.length;
    return { active: this.#connections.size - idle, idle, queued: this.#queue.size };
  }

  close(): void {
    this.#closing = true;
    for (const connection of this.#idle.slice()) connection.close();
  }

  released(connection: Connection): void {
    const now = performance.now();
    const next = this.#queue.shift();
    if (next !== undefined) {
      connection.carry(next, now);
      return;
    }
    const limitMs = connection.idleLimitMs(this.#options.idleTimeoutMs);
    if (this.#closing || limitMs <= 0) {
      connection.close();
      return;
    }
    connection.idleSince = now;
    connection.deadlineAt = now + limitMs;
    this.#idle.push(connection);
  }

  closed(connection: Connection, retry: Exchange | undefined): void {
    this.#connections.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
    if (retry !== undefined) this.#retry(retry);
    else if (this.#queue.size > 0) this.#open(this.#queue.shift() as Exchange);
    if (this.#connections.size === 0) this.#timer.stop();
  }

  /** The exchange gave up while it was queued. */
  drop(exchange: Exchange): void {
    this.#queue.remove(exchange);
  }

  #takeIdle(exchange: Exchange, now: number): Connection | undefined {
    const repeatable = exchange.idempotent && exchange.request.body !== "stream";
    for (let last = this.#idle.at(-1); last !== undefined; last = this.#idle.at(-1)) {
      if (!repeatable && now - last.idleSince > FRESH_MS) return undefined;
      if (last.deadlineAt > now) return this.#idle.pop();
      last.close();
    }
    return undefined;
  }

  #place(exchange: Exchange): void {
    const { maxConnections, maxQueued } = this.#options;
    // Idle ones are left when they are too old for this exchange.
    if (this.#connections.size >= maxConnections) this.#idle[0]?.close();
    if (this.#connections.size < maxConnections) this.#open(exchange);
    else if (this.#queue.size < maxQueued) {
      exchange.heldBy(this);
      this.#queue.push(exchange);
    } else {
      exchange.failSoon(new GatewayError("overloaded", "Too many requests are waiting for the service."));
    }
  }

  #open(exchange: Exchange): void {
    this.#timer.start();
    this.#connections.add(new Connection(this.#connector, this, exchange));
  }

  #retry(exchange: Exchange): void {
    exchange.waitUntil = performance.now() + exchange.request.connectTimeoutMs;
    this.#open(exchange);
  }

  #expire(now: number): void {
    for (const late of this.#queue.expired(now)) late.fail(connectTimeout());
    for (const connection of this.#connections) connection.expire(now);
  }
}
