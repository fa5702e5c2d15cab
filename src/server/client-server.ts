// The interface of a server for clients' connections, as its listener sees it. It hides which code reads the requests.
import type { Server, Socket } from "node:net";
import type tls from "node:tls";

export interface ClientServer extends Server {
  /** Closes connections that wait for a request. */
  closeIdleConnections(): void;
  closeAllConnections(): void;
  /** Ends a connection: at once if it carries no request, else with the answer, if its head can still say so. */
  endSoon(socket: Socket): void;
  /** Only under TLS. */
  readonly setSecureContext?: tls.Server["setSecureContext"];
}
