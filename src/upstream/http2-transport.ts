// A pool of HTTP/2 connections to one upstream: few connections, each with many exchanges.
import { GatewayError } from "../plugin-api/errors.ts";
import { ClientCounts } from "./client-counts.ts";
import { Connector } from "./connector.ts";
import { type CallOwner, Http2Call } from "./http2-call.ts";
import {
  type Carrier,
  carrierOver,
  isFree,
  mayTake,
  maxStreams,
  openFailure,
  ping,
  pingLater,
  streamsOf,
} from "./http2-carrier.ts";
import { Http2Waiting } from "./http2-waiting.ts";
import { OwnConnections } from "./own-connections.ts";
import { overloaded, type PoolOptions } from "./pooled-transport.ts";
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

export interface Http2PoolOptions extends PoolOptions {
  /** How long a connection may take to answer a ping. */
  readonly pingLimitMs?: number;
}

export function createHttp2Transport(target: UpstreamTarget, options: Http2PoolOptions): UpstreamTransport {
  return new Http2Transport(target, options);
}

class Http2Transport implements UpstreamTransport, CallOwner {
  readonly #options: Http2PoolOptions;
  readonly #connector: Connector;
  readonly #own: OwnConnections;
  readonly #carriers = new Set<Carrier>();
  readonly #waiting: Http2Waiting;
  readonly #carrierOf = new WeakMap<Http2Call, Carrier>();
  readonly #active = new ClientCounts();
  readonly #share: number;
  readonly #pingLimitMs: number | undefined;
  readonly #place: { readonly owner: CallOwner; readonly scheme: "http" | "https" };
  /** The service learns the client by its connection (PROXY protocol), so clients share none. */
  readonly #perClient: boolean;
  /** The longest that any exchange waits for a connection. */
  #openLimitMs = 0;
  #closing = false;

  constructor(target: UpstreamTarget, options: Http2PoolOptions) {
    this.#options = options;
    this.#perClient = target.proxyProtocol !== undefined;
    this.#place = { owner: this, scheme: target.tls ? "https" : "http" };
    this.#pingLimitMs = options.pingLimitMs;
    this.#share = (options.clientShare ?? 100) / 100;
    this.#waiting = new Http2Waiting(options.maxQueued, this.#share);
    this.#connector = new Connector(target, "h2");
    const maxOwn = options.maxUpgrades ?? options.maxConnections;
    // Upgrades exist only in HTTP/1.1: their connections agree on that by ALPN.
    this.#own = new OwnConnections(new Connector(target), maxOwn, maxOwn);
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = new Http2Call(request, handler, this.#place);
    const free = this.#mayStart(call) ? this.#free(call) : undefined;
    if (free !== undefined) this.#start(call, free);
    else this.#wait(call);
    return call;
  }

  openOwn(request: OwnRequest, handler: OwnConnectionHandler): () => void {
    return this.#own.open(request, handler);
  }

  counts(): TransportCounts {
    let active = 0;
    for (const { calls, ready } of this.#carriers) if (calls.size > 0 || !ready) active += 1;
    return {
      active,
      idle: this.#carriers.size - active,
      queued: this.#waiting.size,
      upgraded: this.#own.size,
    };
  }

  close(): void {
    this.#closing = true;
    // Connections that are still opening end once they have taken the waiting calls.
    for (const { ready, session } of this.#carriers) if (ready) session.close();
  }

  over(call: Http2Call, unseen: boolean): void {
    const carrier = this.#carrierOf.get(call);
    if (carrier === undefined) return;
    if (carrier.calls.delete(call)) this.#active.add(call, -1);
    if (unseen && !call.over) this.#again(call, carrier);
    this.#next();
    if (carrier.leaving) this.#openMore();
    if (carrier.calls.size === 0) this.#idle(carrier);
  }

  forget(call: Http2Call): void {
    this.#waiting.remove(call);
  }

  /** Whether the client of the call has less than its share. */
  #mayStart(call: Http2Call): boolean {
    return this.#active.of(call) < Math.ceil(this.#options.maxConnections * this.#streams * this.#share);
  }

  /** Streams per connection, as far as the service has announced a limit. */
  get #streams(): number {
    for (const carrier of this.#carriers) if (carrier.ready) return streamsOf(carrier);
    return maxStreams;
  }

  /** Sends the call again on another connection than the one that refused it, if possible. */
  #again(call: Http2Call, refused: Carrier): void {
    const free = this.#free(call, refused) ?? (isFree(refused, this.#originOf(call)) ? refused : undefined);
    // It had its place already: a full queue refuses only what comes anew.
    if (free === undefined) this.#enqueue(call);
    else this.#start(call, free);
  }

  #free(call: Http2Call, but?: Carrier): Carrier | undefined {
    const origin = this.#originOf(call);
    for (const carrier of this.#carriers) {
      if (carrier.secureContext !== this.#connector.secureContext) this.#retire(carrier);
      else if (carrier !== but && isFree(carrier, origin)) return carrier;
    }
    return undefined;
  }

  /** Certificates have been renewed since the connection was made: it ends after its running calls. */
  #retire(carrier: Carrier): void {
    carrier.leaving = true;
    if (carrier.ready && carrier.calls.size === 0) carrier.session.close();
  }

  /** The client whose connection the call needs; undefined = any connection will do. */
  #originOf({ request }: Http2Call): string | undefined {
    return this.#perClient ? (request.clientAddress ?? "") : undefined;
  }

  #start(call: Http2Call, carrier: Carrier): void {
    this.#carrierOf.set(call, carrier);
    carrier.calls.add(call);
    this.#active.add(call, 1);
    clearTimeout(carrier.idle);
    pingLater(carrier, this.#pingLimitMs);
    try {
      call.start(carrier.session, carrier.resets);
    } catch (cause) {
      carrier.calls.delete(call);
      this.#active.add(call, -1);
      setImmediate(() =>
        call.fail(new GatewayError("internal_error", "The request could not be forwarded.", { cause })),
      );
    }
  }

  #wait(call: Http2Call): void {
    if (!this.#waiting.isFullFor(call)) this.#enqueue(call);
    else setImmediate(() => call.fail(overloaded("The queue for the service is full.")));
  }

  #enqueue(call: Http2Call): void {
    this.#openLimitMs = Math.max(this.#openLimitMs, call.request.connectTimeoutMs);
    this.#waiting.add(call);
    // Over its client's share, it waits for the client's own calls, not for a connection.
    if (this.#mayStart(call)) this.#openMore();
  }

  /** Opens what the waiting calls need, as far as there may be more. */
  #openMore(): void {
    if (this.#waiting.size === 0 || this.#streams === 0) return;
    if (!this.#perClient) {
      for (let missing = this.#missing(); missing > 0; missing -= 1) this.#open(undefined);
      return;
    }
    for (const origin of this.#unserved()) {
      if (this.#carriers.size >= this.#options.maxConnections) {
        this.#makeRoom();
        return;
      }
      this.#open(origin);
    }
  }

  /** How many more connections the calls that wait for one need, beside those that are opening. */
  #missing(): number {
    const room = this.#options.maxConnections - this.#carriers.size;
    let places = 0;
    for (const { ready } of this.#carriers) if (!ready) places += this.#streams;
    if (room <= 0 || places >= this.#waiting.size) return 0;
    const wanted = [...this.#waiting].filter((call) => this.#mayStart(call)).length;
    return Math.min(room, Math.ceil((wanted - places) / this.#streams));
  }

  /** The origins whose calls wait and that have no connection in the making. */
  #unserved(): Set<string | undefined> {
    const origins = new Set<string | undefined>();
    for (const call of this.#waiting) if (this.#mayStart(call)) origins.add(this.#originOf(call));
    for (const { ready, origin } of this.#carriers) if (!ready) origins.delete(origin);
    return origins;
  }

  /** Closes one idle connection for a client that needs its own. Another is opened once it is gone. */
  #makeRoom(): void {
    for (const { calls, ready, session } of this.#carriers) {
      if (!ready || calls.size > 0) continue;
      session.close();
      return;
    }
  }

  #next(): void {
    for (const call of this.#waiting) {
      if (!this.#mayStart(call)) continue;
      const free = this.#free(call);
      if (free === undefined) {
        if (this.#perClient) continue;
        return;
      }
      this.forget(call);
      this.#start(call, free);
    }
  }

  #open(origin: string | undefined): void {
    const { secureContext } = this.#connector;
    const socket = this.#connector.openStream(origin === "" ? undefined : origin);
    const carrier = carrierOver(socket, origin, secureContext);
    const { session } = carrier;
    this.#carriers.add(carrier);
    let failure: NodeJS.ErrnoException | undefined;
    let isLate = false;
    // After this time, calls that wait now must get another connection.
    carrier.ping = setTimeout(() => {
      isLate = true;
      session.destroy();
    }, this.#openLimitMs).unref();
    // The session's error may be ignored: each stream hears of its own end.
    session.on("error", (error: NodeJS.ErrnoException) => (failure ??= error));
    session.on("goaway", () => {
      carrier.leaving = true;
      // What waits for a place on it would wait in vain.
      this.#openMore();
    });
    session.on("close", () => this.#gone(carrier, failure, isLate));
    // The first SETTINGS frame shows that the service speaks HTTP/2, and how many streams it allows.
    session.once("remoteSettings", () => {
      carrier.ready = true;
      clearTimeout(carrier.ping);
      carrier.ping = undefined;
      this.#next();
      if (this.#closing) session.close();
      // The service may allow fewer streams than assumed.
      this.#openMore();
      if (carrier.calls.size === 0) this.#idle(carrier);
    });
  }

  #gone(carrier: Carrier, failure: NodeJS.ErrnoException | undefined, isLate: boolean): void {
    clearTimeout(carrier.idle);
    clearTimeout(carrier.ping);
    this.#carriers.delete(carrier);
    if (carrier.ready) this.#next();
    if (carrier.ready || isLate) this.#openMore();
    // Calls that waited for a connection that failed to open do not wait for a next one.
    else if (![...this.#carriers].some((other) => mayTake(other, carrier.origin)))
      this.#waiting.fail(openFailure(failure), (call) => this.#originOf(call) === carrier.origin);
  }

  #idle(carrier: Carrier): void {
    clearTimeout(carrier.ping);
    carrier.ping = undefined;
    clearTimeout(carrier.idle);
    // The client of a waiting call may need this connection's place.
    const isInTheWay =
      this.#perClient && this.#waiting.size > 0 && this.#carriers.size >= this.#options.maxConnections;
    if (carrier.leaving || isInTheWay || this.#closing || this.#options.idleTimeoutMs <= 0)
      carrier.session.close();
    else carrier.idle = setTimeout(() => carrier.session.close(), this.#options.idleTimeoutMs).unref();
  }

  /** A call had no answer in time: a ping shows at once whether the connection is to blame. */
  silent(call: Http2Call): void {
    const carrier = this.#carrierOf.get(call);
    if (carrier !== undefined) ping(carrier, this.#pingLimitMs);
  }
}
