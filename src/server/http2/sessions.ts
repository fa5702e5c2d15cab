// Connections of clients that speak HTTP/2, with their limits, and how they end.
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
  /** Idle connections are closed after that. */
  readonly keepAliveMs: number;
  /** Most requests of one connection at a time. */
  readonly http2Streams: number;
  /** Most requests of all connections at a time, of which one client has its share. */
  readonly maxConnections: number;
  /** Percent. */
  readonly clientShare: number;
}

export interface Http2Events {
  /** Whose share the requests of a connection count for; undefined = nobody's. */
  clientOf(connection: Socket): string | undefined;
  onRequest(stream: Http2ServerStream): void;
  /** A request that was read, and goes no further. */
  onRefused(stream: Http2ServerStream, error: GatewayError): void;
  /** A connection was ended for what it did. */
  onMisuse(reason: string, connection: Socket): void;
}

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_REFUSED_STREAM } = http2.constants;
/**
 * GOAWAY with the highest id: streams that are on their way are served (RFC 9113 section 6.8). Written past nghttp2, which
 * takes no further stream after a GOAWAY of its own and offers no other (Node 26); whole frames are all it writes. Not under
 * TLS, where Node ends the process when two write at a time: clients there hear of the end with the last GOAWAY, whose
 * last stream tells them what to send again.
 */
const announcement = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/** Of a stream, of what its client may send before it is read. */
const windowBytes = 262_144;
/** How long a client may take to end its side of a connection that is over. */
const goodbyeMs = 1_000;
/** Requests that a client may take back. */
const resets = { burst: 100, perSecond: 10 };

interface Open {
  readonly session: ServerHttp2Session;
  readonly connection: Socket;
  readonly client: string | undefined;
  readonly resets: ResetBudget;
  streams: number;
  /** Ends it while nothing is asked. */
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
  /** Whose session is about to be made: `connection` is handled at once. */
  #arriving: Socket | undefined;
  #draining = false;
  /** As many as HTTP/1.1 could have, which has one a connection. */
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
      // One more than fit is enough to see that it is too many.
      maxHeaderListPairs: 1_000,
      maxSettings: 32,
      maxOutstandingPings: 10,
      maxSessionInvalidFrames: 100,
      maxSessionMemory: 16,
      // Services answer with two of what should be one; over HTTP/1.1 that goes through as it is.
      strictSingleValueFields: false,
    });
    this.#server.on("session", (session) => this.#began(session));
    this.#server.on("stream", (stream: ServerHttp2Stream, _headers: unknown, _flags: number, raw: string[]) =>
      this.#request(stream, raw),
    );
    this.#server.on("sessionError", () => {});
  }

  /** Takes a connection over whose next bytes are the preface, or that agreed on `h2`. */
  accept(connection: Socket): void {
    // Whoever ends a side of it ends all of its streams: unlike with HTTP/1.1, nobody reads on.
    connection.allowHalfOpen = false;
    connection.once("end", () => connection.destroy());
    this.#arriving = connection;
    this.#server.emit("connection", connection);
    this.#arriving = undefined;
  }

  /** Tells clients to open other connections; what comes until they do is served. */
  beginDrain(): void {
    this.#draining = true;
    for (const open of this.#open.values()) announceEnd(open);
  }

  /** Ends one connection with what runs on it. @returns false where it speaks no HTTP/2 */
  leave(connection: Socket): boolean {
    const open = this.#open.values().find((each) => each.connection === connection);
    if (open !== undefined) this.#end(open);
    return open !== undefined;
  }

  /** No further request is taken; those that run end. */
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
    // Without a listener it would end the process.
    session.on("error", (error) => this.#failed(open, error));
    session.on("close", () => {
      clearTimeout(open.idle);
      this.#open.delete(session);
    });
    // A client that speaks HTTP/2 says how, first of all.
    this.#idleFor(open, this.#options.headerTimeoutMs);
    session.once("remoteSettings", () => {
      if (open.streams === 0) this.#idleFor(open, this.#options.keepAliveMs);
      if (this.#draining) announceEnd(open);
    });
  }

  /** Whatever else comes meanwhile: neither pings nor parts of a head are requests. */
  #idleFor(open: Open, limitMs: number): void {
    clearTimeout(open.idle);
    open.idle = setTimeout(() => this.#end(open), limitMs).unref();
  }

  /** No further request; the connection ends with the last one, whether its client ends it or not. */
  #end(open: Open): void {
    const { session, connection } = open;
    open.ending = true;
    if (!session.destroyed) session.close();
    if (open.streams === 0) setTimeout(() => connection.destroy(), goodbyeMs).unref();
  }

  #request(stream: ServerHttp2Stream, raw: readonly string[]): void {
    // Its end may have come with its head, in one packet, and may be all that it tells: unheard, that would end the process.
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
    // Before what follows: its own look at the close says whether its response was through.
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

  /** Rapid reset (CVE-2023-44487): a client that takes its requests back costs as much as one that waits for answers. */
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
