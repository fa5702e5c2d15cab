// The HTTP/1.1 server over node:http, with its limits. It presents each request as a stream.
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
  /** Certificate and key in PEM: the server then speaks TLS. */
  readonly tls: https.ServerOptions | undefined;
  /** Decides after each handshake whether the client's certificate counts. Default: it counts if it verifies. */
  readonly certified?: CertifiedConnections | undefined;
  readonly maxHeaderBytes: number;
  readonly headerTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly maxConnections: number;
  /** Percent of the budget for waiting requests that one client address may have. */
  readonly clientShare: number;
}

export interface Http1Events extends AcceptEvents {
  /** Called only when the request's turn on its connection has come. */
  onRequest(stream: ServerStream): void;
  /** Called for CONNECT: the parser has let go of the connection. */
  onConnect(target: string, socket: Socket, carried: Carried): void;
  /** One connection brings more requests at once than may wait. */
  onCrowding(socket: Socket): void;
  /** A connection was closed unread: there are too many. */
  onDrop(): void;
}

const closes = /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i;

export function createHttp1Server(options: Http1Options, events: Http1Events): ClientServer {
  const server = createServer(options, events.onHttp2 !== undefined);
  // The head is bounded in bytes. With a limit on their count, node:http would silently drop fields.
  server.maxHeadersCount = 0;
  server.maxConnections = options.maxConnections;
  // Over TCP, a client may end its side right after the request, and still read the answer. Under TLS, this option
  // keeps node:http from closing a connection in the middle of an answer as if the answer was complete. It is not in
  // Node's types (26), but there since Node 0.5.
  Object.assign(server, { httpAllowHalfOpen: true });
  accept(server, options, events);
  server.on("drop", () => events.onDrop());
  const pipelining = new Pipelining(options.clientShare, (socket) => events.onCrowding(socket));
  const serve = (message: IncomingMessage, response: http.ServerResponse): void => {
    // node:http (26) still serves requests that arrive while the connection ends after a closing answer.
    if (message.socket.writableEnded) return;
    // The parser keeps an HTTP/1.0 connection open if it says both close and keep-alive (RFC 9112 section 9.3).
    if (message.httpVersionMinor === 0 && closes.test(message.headers.connection ?? ""))
      response.shouldKeepAlive = false;
    const stream = new Http1Stream(message, response);
    if (stream.isItsTurn) events.onRequest(stream);
    else pipelining.wait(stream, message.socket, () => events.onRequest(stream));
  };
  server.on("request", serve).on("checkContinue", serve).on("checkExpectation", serve);
  server.on("upgrade", (message: IncomingMessage, socket: Socket, head: Buffer) => {
    // `UpgradeSide` handles the client's end until the tunnel does, which then goes on in the other direction.
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
    // request-head.ts checks the Host field, with Outrigger's own answer and log line.
    requireHostHeader: false,
    noDelay: true,
    // Most requests have no body: Node then runs no empty stream to its end.
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

/** The listener for the connection's `end` event. */
function clientEnded(this: Socket): void {
  streamOn(this)?.handler?.onHalfClosed();
}

/**
 * The same under TLS: the client is taken to have left. RFC 8446 section 6.1 would let it read on, but HTTP clients do
 * not do so. The reason: a reset can look like an end. If a write of TLS itself meets the reset first, such as a
 * session ticket, Node (26) reports an end instead of an error, and later writes never complete.
 */
function tlsClientEnded(this: Socket): void {
  if (isAnswering(this) || this.writableLength > 0) this.destroy();
}

/**
 * The parser has let go of the connection: answers other than 101 are written by a response object made here, and the
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
 * h2c would carry requests past the policy; an upgrade with a body is two messages in one; HTTP/1.0 has no upgrades; a
 * connection that still owes an answer cannot be handed over. All these are served as plain requests.
 */
function mayUpgrade(message: IncomingMessage): boolean {
  const { upgrade } = message.headers;
  if (message.httpVersionMinor === 0 || isAnswering(message.socket)) return false;
  if (upgrade === undefined || /(?:^|,)\s*h2c?\s*(?:,|$)/i.test(upgrade)) return false;
  const length = message.headers["content-length"];
  return message.headers["transfer-encoding"] === undefined && (length === undefined || length === "0");
}
