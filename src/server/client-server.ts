// The server that clients' connections come to, as its listener knows it, whatever reads requests from them.
import type { Server, Socket } from "node:net";
import type tls from "node:tls";

export interface ClientServer extends Server {
  /** Those that wait for a request. */
  closeIdleConnections(): void;
  closeAllConnections(): void;
  /** Ends a connection: at once where nothing is asked on it, else with the answer, if that can still say so. */
  endSoon(socket: Socket): void;
  /** Under TLS alone. */
  readonly setSecureContext?: tls.Server["setSecureContext"];
}
