// Accepts connections, in clear or under TLS, and hands each to the server that reads its requests: HTTP/1.1 or HTTP/2.
import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { isGone } from "../client/gone.ts";
import { inheritPeer } from "../client/peer.ts";
import type { StreamHandler } from "../exchange/server-stream.ts";
import { CertifiedConnections } from "./http1/certified-connections.ts";
import { type PrefaceEvents, readPreface } from "./preface.ts";

/** What a connection carries now, for the code that ends it. */
export interface Carried {
  /** An earlier request on it is not answered yet: an error response would overtake that answer. */
  readonly isAnswering: boolean;
  /** The request is answered, but its body is still arriving: the fault is in the body. */
  readonly isAnsweredEarly: boolean;
  /** The request that is being answered. */
  readonly stream: { readonly complete: boolean; readonly handler: StreamHandler | undefined } | undefined;
}

/** The value for a connection without a request. */
export const nothingCarried: Carried = { isAnswering: false, isAnsweredEarly: false, stream: undefined };

export interface AcceptEvents {
  /** @param serve call it with a connection that may be served, now or later */
  onConnection(socket: Socket, serve: (socket: Socket) => void): void;
  /** Reports what the parser, its time limits or the TLS handshake refused. */
  onParserError(error: NodeJS.ErrnoException, socket: Socket, carried: Carried): void;
  /** Takes a connection that speaks HTTP/2, found by its preface or by ALPN. Absent: HTTP/2 is off. */
  readonly onHttp2?: ((socket: Socket) => void) | undefined;
}

/** Removes the server's own listener for `event`, so that others decide in its place. @returns that listener */
export function takeOver(server: Server, event: "connection" | "secureConnection"): (socket: Socket) => void {
  const own = server.listeners(event)[0] as (this: Server, socket: Socket) => void;
  server.removeListener(event, own);
  return (socket) => own.call(server, socket);
}

/** Serves the sockets that are still open and destroys the others. */
function whoIsThere(serve: (socket: Socket) => void): (socket: Socket) => void {
  return (socket) => {
    if (isGone(socket)) socket.destroy();
    else serve(socket);
  };
}

/** @param serveHttp1 called with a connection that begins as HTTP/1.1 */
export function acceptInClear(
  server: Server,
  headerTimeoutMs: number,
  events: AcceptEvents,
  serveHttp1: (socket: Socket) => void,
): void {
  const { onHttp2 } = events;
  if (onHttp2 === undefined) {
    server.on(
      "connection",
      whoIsThere((socket) => events.onConnection(socket, serveHttp1)),
    );
    return;
  }
  const reading: PrefaceEvents = {
    onHttp1: serveHttp1,
    onHttp2,
    onSilence: (socket) => events.onParserError(headTimeout(), socket, nothingCarried),
  };
  const begin = (socket: Socket): void => readPreface(socket, headerTimeoutMs, reading);
  server.on(
    "connection",
    whoIsThere((socket) => events.onConnection(socket, begin)),
  );
}

/** Under TLS, the decrypted socket, not the accepted one, carries the requests and their end. */
export function acceptTls(
  server: Server,
  certified: CertifiedConnections | undefined,
  events: AcceptEvents,
  serveHttp1: (socket: Socket) => void,
): void {
  const { onHttp2 } = events;
  const certificates = certified ?? new CertifiedConnections();
  const shakeHands = takeOver(server, "connection");
  server.on(
    "connection",
    whoIsThere((socket) => events.onConnection(socket, shakeHands)),
  );
  server.on("secureConnection", (socket: Socket & { alpnProtocol?: string | false | null }) => {
    inheritPeer(socket);
    certificates.add(socket as TLSSocket);
    if (onHttp2 !== undefined && socket.alpnProtocol === "h2") onHttp2(socket);
    else serveHttp1(socket);
  });
}

/** The error that node:http reports for this timeout. */
export function headTimeout(): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error("no request came");
  error.code = "ERR_HTTP_REQUEST_TIMEOUT";
  return error;
}
