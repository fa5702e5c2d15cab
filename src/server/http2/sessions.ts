// Accepts client connections that speak HTTP/2, applies their limits, and ends them.
import http2, { type Http2Session, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { ClientBudget } from "../../client/client-budget.ts";
import { sizeOf } from "../../http2/fields.ts";
import { http2Head } from "../../http2/request-head.ts";
import { ResetBudget } from "../../http2/reset-budget.ts";
import { GatewayError } from "../../plugin-api/errors.ts";
import { Http2ServerStream } from "./stream.ts";

export interface Http2Options {
  readonly maxHeaderBytes: number;
  readonly headerTimeoutMs: number;
  /** Idle connections are closed after this time. */
  readonly keepAliveMs: number;
  /** The most concurrent requests on one connection. */
  readonly http2Streams: number;
  /** The most concurrent requests on all connections; each client has a share. */
  readonly maxConnections: number;
  /** Percent of `maxConnections` that one client may have. */
  readonly clientShare: number;
}

export interface Http2Events {
  /** The client whose share the requests of a connection count against; undefined = no client's. */
  clientOf(connection: Socket): string | undefined;
  onRequest(stream: Http2ServerStream): void;
  /** Reports a request that was read and refused. */
  onRefused(stream: Http2ServerStream, error: GatewayError): void;
  /** Reports a connection that was ended for misuse. */
  onMisuse(reason: string, connection: Socket): void;
}

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_REFUSED_STREAM } = http2.constants;
/**
 * A GOAWAY frame with the highest stream id: streams already on their way are still served (RFC 9113 section 6.8). It
 * is written past nghttp2, which takes no further stream after its own GOAWAY and offers no other kind (Node 26).
 * nghttp2 writes only whole frames, so this one cannot split another. Not under TLS, where Node ends the process when
 * two write at a time: clients there hear of the end with the last GOAWAY, whose last stream id tells them what to send
 * again.
 */
const announcement = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/** The flow control window of a stream: what its client may send before it is read. */
const windowBytes = 262_144;
/** How long a client may take to close its side of a connection that has ended. */
const goodbyeMs = 1_000;
/** Requests that a client may reset. */
const resets = { burst: 100, perSecond: 10 };

interface Open {
  readonly session: ServerHttp2Session;
  readonly connection: Socket;
  readonly client: string | undefined;
  readonly resets: ResetBudget;
  streams: number;
  /** The timer that ends the connection while it has no request. */
  idle: NodeJS.Timeout | undefined;
  ending: boolean;
}

function announceEnd({ session, connection }: Open): void {
  if (!session.destroyed && connection.writable && !session.encrypted) connection.write(announcement);
}

export class Http2Sessions {
  readonly #server: http2.Http2Server;
  readonly #options: Http2Options;
  readonly #events: Http2Events;
  readonly #open = new Map<Http2Session, Open>();
  /** The connection whose session is being made: `#began` runs synchronously. */
  #arriving: Socket | undefined;
  #draining = false;
  /** The budget of concurrent requests: as many as over HTTP/1.1, where a connection has one at a time. */
  readonly #requests: ClientBudget;

  constructor(options: Http2Options, events: Http2Events) {
    this.#options = options;
    this.#events = events;
    this.#requests = new ClientBudget(options.maxConnections, options.clientShare / 100);
    this.#server = http2.createServer({
      settings: {
        maxConcurrentStreams: options.http2Streams,
        maxHeaderListSize: options.maxHeaderBytes,
        initialWindowSize: windowBytes,
        enablePush: false,
        // WebSocket (RFC 8441).
        enableConnectProtocol: true,
      },
      // One more pair than allowed is enough to see that there are too many.
      maxHeaderListPairs: 1_000,
      maxSettings: 32,
      maxOutstandingPings: 10,
      maxSessionInvalidFrames: 100,
      maxSessionMemory: 16,
      // Some services send a field twice that should be single; over HTTP/1.1 that passes unchanged.
      strictSingleValueFields: false,
    });
    this.#server.on("session", (session) => this.#began(session));
    this.#server.on("stream", (stream: ServerHttp2Stream, _headers: unknown, _flags: number, raw: string[]) =>
      this.#request(stream, raw),
    );
    this.#server.on("sessionError", () => {});
  }

  /** Takes over a connection whose next bytes are the preface, or that agreed on `h2`. */
  accept(connection: Socket): void {
    // Ending one side ends all streams: unlike with HTTP/1.1, the client does not read on.
    connection.allowHalfOpen = false;
    connection.once("end", () => connection.destroy());
    this.#arriving = connection;
    this.#server.emit("connection", connection);
    this.#arriving = undefined;
  }

  /** Tells clients to open other connections. Requests that come until then are served. */
  beginDrain(): void {
    this.#draining = true;
    for (const open of this.#open.values()) announceEnd(open);
  }

  /** Ends one connection after its running streams. @returns false if it does not speak HTTP/2 */
  leave(connection: Socket): boolean {
    const open = this.#open.values().find((each) => each.connection === connection);
    if (open !== undefined) this.#end(open);
    return open !== undefined;
  }

  /** Takes no further request; running ones go on to their end. */
  close(): void {
    for (const open of this.#open.values()) this.#end(open);
  }

  destroy(): void {
    for (const { session, connection } of this.#open.values()) {
      session.destroy();
      connection.destroy();
    }
  }

  #began(session: ServerHttp2Session): void {
    const connection = this.#arriving;
    if (connection === undefined) {
      session.destroy();
      return;
    }
    const open: Open = {
      session,
      connection,
      client: this.#events.clientOf(connection),
      resets: new ResetBudget(resets, performance.now()),
      streams: 0,
      idle: undefined,
      ending: false,
    };
    this.#open.set(session, open);
    // Without a listener, an error would end the process.
    session.on("error", (error) => this.#failed(open, error));
    session.on("close", () => {
      clearTimeout(open.idle);
      this.#open.delete(session);
    });
    // An HTTP/2 client sends its settings first.
    this.#idleFor(open, this.#options.headerTimeoutMs);
    session.once("remoteSettings", () => {
      if (open.streams === 0) this.#idleFor(open, this.#options.keepAliveMs);
      if (this.#draining) announceEnd(open);
    });
  }

  /** Ends the connection after `limitMs` without a request: pings and parts of a head do not count. */
  #idleFor(open: Open, limitMs: number): void {
    clearTimeout(open.idle);
    open.idle = setTimeout(() => this.#end(open), limitMs).unref();
  }

  /** Takes no further request. The connection ends with the last one, even if its client does not close it. */
  #end(open: Open): void {
    const { session, connection } = open;
    open.ending = true;
    if (!session.destroyed) session.close();
    if (open.streams === 0) setTimeout(() => connection.destroy(), goodbyeMs).unref();
  }

  #request(stream: ServerHttp2Stream, raw: readonly string[]): void {
    // A reset may come with the head in one packet and be reported only as an error: unheard, it would end the process.
    stream.on("error", () => {});
    const open = stream.session && this.#open.get(stream.session);
    if (open === undefined) return;
    if (!this.#requests.take(open.client, 1)) {
      stream.close(NGHTTP2_REFUSED_STREAM);
      return;
    }
    open.streams += 1;
    clearTimeout(open.idle);
    const head = http2Head(raw, stream.endAfterHeaders);
    // Made before the listener below: its own `close` listener must note first whether the response was complete.
    const server = new Http2ServerStream(stream, open.connection, head, this.#options.maxHeaderBytes);
    stream.once("close", () => {
      open.streams -= 1;
      this.#requests.give(open.client, 1);
      if (open.streams === 0) {
        if (open.ending) this.#end(open);
        else this.#idleFor(open, this.#options.keepAliveMs);
      }
      if (server.takenBack) this.#left(open);
    });
    const tooLarge = sizeOf(raw) > this.#options.maxHeaderBytes;
    const flaw = tooLarge
      ? new GatewayError("fields_too_large", "The request head is too large.")
      : head.flaw;
    if (flaw === undefined) this.#events.onRequest(server);
    else this.#events.onRefused(server, flaw);
  }

  /** Rapid reset (CVE-2023-44487): a client that resets its requests costs as much as one that waits for answers. */
  #left({ session, connection, resets }: Open): void {
    if (resets.take(performance.now()) || session.destroyed) return;
    this.#events.onMisuse("takes back more requests than it may", connection);
    session.goaway(NGHTTP2_ENHANCE_YOUR_CALM);
    session.destroy();
  }

  #failed({ connection }: Open, error: NodeJS.ErrnoException): void {
    if (error.code === "ECONNRESET" || error.code === "EPIPE") return;
    this.#events.onMisuse(error.code ?? error.message, connection);
  }
}
