// The HTTP/1.1 server of node:http with its limits: what it is told to refuse, and each request as a stream.
import http from "node:http";
import type { IncomingMessage, Server } from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import { type AcceptEvents, acceptInClear, acceptTls, type Carried, takeOver } from "../accept.ts";
import type { ClientServer } from "../client-server.ts";
import type { CertifiedConnections } from "./certified-connections.ts";
import { carriedOn, endSoon, isAnswering, streamOn } from "./connection.ts";
import type { ServerStream } from "../../exchange/server-stream.ts";
import { Pipelining } from "./pipelining.ts";
import { Http1Stream } from "./stream.ts";
import { UpgradeSide } from "./upgrade-side.ts";

export interface Http1Options {
  /** Certificate and key in PEM: it then speaks TLS. */
  readonly tls: https.ServerOptions | undefined;
  /** Says of each connection after its handshake whether the client's certificate counts. Default: if it verifies. */
  readonly certified?: CertifiedConnections | undefined;
  readonly maxHeaderBytes: number;
  readonly headerTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly maxConnections: number;
  /** Percent of what may wait that one client address may have. */
  readonly clientShare: number;
}

export interface Http1Events extends AcceptEvents {
  /** Not before its turn on the connection. */
  onRequest(stream: ServerStream): void;
  /** CONNECT: the parser has let go of the connection. */
  onConnect(target: string, socket: Socket, carried: Carried): void;
  /** One connection brings more requests at once than may wait. */
  onCrowding(socket: Socket): void;
  /** A connection was closed unseen: there are too many. */
  onDrop(): void;
}

const closes = /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i;

export function createHttp1Server(options: Http1Options, events: Http1Events): ClientServer {
  const server = createServer(options, events.onHttp2 !== undefined);
  // Bounded in bytes already; beyond a count node:http would drop fields silently, and with them what they say.
  server.maxHeadersCount = 0;
  server.maxConnections = options.maxConnections;
  // A client may end its side with the request, and read on: over TCP. Under TLS it leaves node:http from closing a
  // connection in the middle of an answer as if that was complete. Not in Node's types (26), but there since Node 0.5.
  Object.assign(server, { httpAllowHalfOpen: true });
  accept(server, options, events);
  server.on("drop", () => events.onDrop());
  const pipelining = new Pipelining(options.clientShare, (socket) => events.onCrowding(socket));
  const serve = (message: IncomingMessage, response: http.ServerResponse): void => {
    // node:http (26) serves at once what comes while the connection ends behind an answer that said so.
    if (message.socket.writableEnded) return;
    // The parser keeps the connection of an HTTP/1.0 client that says both (RFC 9112 section 9.3).
    if (message.httpVersionMinor === 0 && closes.test(message.headers.connection ?? ""))
      response.shouldKeepAlive = false;
    const stream = new Http1Stream(message, response);
    if (stream.isItsTurn) events.onRequest(stream);
    else pipelining.wait(stream, message.socket, () => events.onRequest(stream));
  };
  server.on("request", serve).on("checkContinue", serve).on("checkExpectation", serve);
  server.on("upgrade", (message: IncomingMessage, socket: Socket, head: Buffer) => {
    // Its own side hears of the end until the tunnel does, which goes on one way.
    socket.off("end", tlsClientEnded);
    events.onRequest(upgradeStream(message, socket, head));
  });
  server.on("connect", (message: IncomingMessage, socket: Socket) =>
    events.onConnect(message.url ?? "", socket, carriedOn(socket)),
  );
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) =>
    events.onParserError(error, socket, carriedOn(socket)),
  );
  return Object.assign(server, { endSoon });
}

function accept(server: Server, options: Http1Options, events: Http1Events): void {
  const isTls = options.tls !== undefined;
  const own = takeOver(server, isTls ? "secureConnection" : "connection");
  const ended = isTls ? tlsClientEnded : clientEnded;
  const serveHttp1 = (socket: Socket): void => {
    own(socket);
    socket.on("end", ended);
  };
  if (isTls) acceptTls(server, options.certified, events, serveHttp1);
  else acceptInClear(server, options.headerTimeoutMs, events, serveHttp1);
}

function createServer(limits: Http1Options, speaksHttp2: boolean): Server {
  const options: http.ServerOptions = {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headerTimeoutMs,
    // Bodies have their own stall limit: a long upload is no attack.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(limits.headerTimeoutMs, 1_000),
    keepAliveTimeout: limits.keepAliveMs,
    // Checked in request-head.ts, with an answer and a log line of ours.
    requireHostHeader: false,
    noDelay: true,
    // Most requests have no body: no stream of nothing is run to its end for them.
    optimizeEmptyRequests: true,
    shouldUpgradeCallback: mayUpgrade,
  };
  if (limits.tls === undefined) return http.createServer(options);
  return https.createServer({
    ...options,
    allowHalfOpen: true,
    handshakeTimeout: limits.headerTimeoutMs,
    ALPNProtocols: speaksHttp2 ? ["h2", "http/1.1"] : ["http/1.1"],
    ...limits.tls,
  });
}

/** For the connection's `end` event. */
function clientEnded(this: Socket): void {
  streamOn(this)?.handler?.onHalfClosed();
}

/**
 * The same under TLS: the client is taken to have left, though it might read on (RFC 8446 section 6.1), which clients of
 * HTTP do not. For a reset can look like this: where a write of TLS itself meets it first, such as a session ticket, Node
 * (26) reports an end, no error, and whatever is written later waits for ever.
 */
function tlsClientEnded(this: Socket): void {
  if (isAnswering(this) || this.writableLength > 0) this.destroy();
}

/**
 * The parser has let go of the connection: answers other than 101 are written by a response of our own, and the
 * connection ends with them.
 */
function upgradeStream(message: IncomingMessage, socket: Socket, head: Buffer): Http1Stream {
  const response = new http.ServerResponse(message);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  const side = new UpgradeSide(socket, head);
  response.once("finish", () => side.decline());
  return new Http1Stream(message, response, side);
}

/**
 * h2c would carry requests past the policy, an upgrade with a body is two messages in one, HTTP/1.0 has none, and a
 * connection that still owes an answer cannot be handed over: all are served plainly.
 */
function mayUpgrade(message: IncomingMessage): boolean {
  const { upgrade } = message.headers;
  if (message.httpVersionMinor === 0 || isAnswering(message.socket)) return false;
  if (upgrade === undefined || /(?:^|,)\s*h2c?\s*(?:,|$)/i.test(upgrade)) return false;
  const length = message.headers["content-length"];
  return message.headers["transfer-encoding"] === undefined && (length === undefined || length === "0");
}
