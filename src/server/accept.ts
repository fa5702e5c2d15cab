// How connections become some of HTTP/1.1 or HTTP/2, whoever reads requests from them: admitted, in clear or under TLS.
import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { isGone } from "../client/gone.ts";
import { inheritPeer } from "../client/peer.ts";
import type { StreamHandler } from "../exchange/server-stream.ts";
import { CertifiedConnections } from "./http1/certified-connections.ts";
import { type PrefaceEvents, readPreface } from "./preface.ts";

/** What a connection carries now, for whoever ends it. */
export interface Carried {
  /** An earlier request on it is not answered yet: nothing can be said ahead of that. */
  readonly isAnswering: boolean;
  /** A request is answered whose body is still to come: what is wrong is in there. */
  readonly isAnsweredEarly: boolean;
  /** The request that is being answered. */
  readonly stream: { readonly complete: boolean; readonly handler: StreamHandler | undefined } | undefined;
}

/** A connection without a request. */
export const nothingCarried: Carried = { isAnswering: false, isAnsweredEarly: false, stream: undefined };

export interface AcceptEvents {
  /** @param serve for a connection that may be served, at once or later */
  onConnection(socket: Socket, serve: (socket: Socket) => void): void;
  /** What the parser, its time limits or the TLS handshake refused. */
  onParserError(error: NodeJS.ErrnoException, socket: Socket, carried: Carried): void;
  /** A connection that speaks HTTP/2, by its preface or by ALPN. Absent: none does. */
  readonly onHttp2?: ((socket: Socket) => void) | undefined;
}

/** @returns what the server does with a connection: its own listener, in whose place others decide now */
export function takeOver(server: Server, event: "connection" | "secureConnection"): (socket: Socket) => void {
  const own = server.listeners(event)[0] as (this: Server, socket: Socket) => void;
  server.removeListener(event, own);
  return (socket) => own.call(server, socket);
}

/** For those that are still there. */
function whoIsThere(serve: (socket: Socket) => void): (socket: Socket) => void {
  return (socket) => {
    if (isGone(socket)) socket.destroy();
    else serve(socket);
  };
}

/** @param serveHttp1 for a connection that begins as one of HTTP/1.1 */
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

/** Under TLS, requests and their end are on a socket of its own. */
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

/** As node:http tells it. */
export function headTimeout(): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error("no request came");
  error.code = "ERR_HTTP_REQUEST_TIMEOUT";
  return error;
}
