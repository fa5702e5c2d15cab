// The HTTP/1.1 server over node:net and node:tls, with its limits. It also ends connections from this side.
import net, { type Server, type Socket } from "node:net";
import tls from "node:tls";
import { acceptInClear, acceptTls, nothingCarried } from "../accept.ts";
import type { ClientServer } from "../client-server.ts";
import type { Http1Events, Http1Options } from "../http1/server.ts";
import { NetConnection } from "./connection.ts";
import { Deadlines } from "./deadlines.ts";
import { HeldBytes } from "./held-bytes.ts";
import type { ConnectionOwner } from "./owner.ts";
import { readerOf, startReading } from "./reading.ts";
import { ResponseHead } from "./response-head.ts";

export function createNetServer(options: Http1Options, events: Http1Events): ClientServer {
  const server = createServer(options, events.onHttp2 !== undefined);
  server.maxConnections = options.maxConnections;
  server.on("drop", () => events.onDrop());
  const { headerTimeoutMs, keepAliveMs } = options;
  const shortestMs = Math.min(headerTimeoutMs, keepAliveMs === 0 ? headerTimeoutMs : keepAliveMs);
  const deadlines = new Deadlines<NetConnection>(shortestMs);
  const owner: ConnectionOwner = {
    limits: options,
    held: new HeldBytes(options.clientShare),
    head: new ResponseHead(keepAliveMs),
    onRequest: (stream) => events.onRequest(stream),
    onConnect: (target, socket, carried) => events.onConnect(target, socket, carried),
    onParserError: (error, socket, carried) => events.onParserError(error, socket, carried),
    onCrowding: (socket) => events.onCrowding(socket),
  };
  const serve = (socket: Socket): void => {
    const connection = new NetConnection(socket, owner);
    deadlines.add(connection);
    socket.once("close", () => {
      deadlines.delete(connection);
      connection.closed();
    });
    startReading(socket, connection);
  };
  if (options.tls === undefined) acceptInClear(server, headerTimeoutMs, events, serve);
  else {
    acceptTls(server, options.certified, events, serve);
    server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: Socket) =>
      events.onParserError(error, socket, nothingCarried),
    );
  }
  return Object.assign(server, endings(deadlines));
}

/** The methods that end connections from this side. */
function endings(
  connections: Deadlines<NetConnection>,
): Pick<ClientServer, "closeIdleConnections" | "closeAllConnections" | "endSoon"> {
  return {
    closeIdleConnections() {
      for (const each of connections.all()) if (each.isIdle) each.socket.destroy();
    },
    closeAllConnections() {
      for (const { socket } of connections.all()) socket.destroy();
    },
    endSoon(socket) {
      const reader = readerOf(socket);
      const stream = reader instanceof NetConnection ? reader.stream : undefined;
      if (stream === undefined) socket.destroySoon();
      else stream.isLast ||= stream.status === 0;
    },
  };
}

function createServer({ tls: secure, headerTimeoutMs }: Http1Options, speaksHttp2: boolean): Server {
  // A client may end its side right after the request, and still read the answer.
  const options = { allowHalfOpen: true, noDelay: true };
  if (secure === undefined) return net.createServer(options);
  return tls.createServer({
    ...options,
    handshakeTimeout: headerTimeoutMs,
    ALPNProtocols: speaksHttp2 ? ["h2", "http/1.1"] : ["http/1.1"],
    ...secure,
  });
}
