// A scripted TCP server: for every connection it calls the script with a RawPeer and the connection's number.
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { RawPeer } from "./raw-peer.ts";

export type Script = (peer: RawPeer, index: number) => Promise<void> | void;

export interface RawServer extends AsyncDisposable {
  /** 0 for a unix socket. */
  readonly port: number;
  /** Every connection so far, in order. */
  readonly peers: readonly RawPeer[];
  /** Connections that are open now. */
  readonly open: number;
  /** Resolves with the connection of that number (from 0) once it is made. */
  peer(index: number): Promise<RawPeer>;
  /** Destroys open connections and stops the server. */
  close(): Promise<void>;
}

export interface Place {
  /** Unix socket to listen on; else a free port of `host`. */
  readonly socketPath?: string;
  /** 127.0.0.1 by default. */
  readonly host?: string;
  readonly tls?: TlsOptions;
}

/** A script that waits for more bytes than the other side sends ends with the connection, without an error. */
export async function startRawServer(script: Script, place: Place = {}): Promise<RawServer> {
  const peers: RawPeer[] = [];
  const open = new Set<RawPeer>();
  const waiting: { index: number; resolve: (peer: RawPeer) => void }[] = [];
  const accept = (socket: Socket): void => {
    const peer = new RawPeer(socket);
    const index = peers.push(peer) - 1;
    open.add(peer);
    socket.once("close", () => open.delete(peer));
    for (const each of waiting) if (each.index === index) each.resolve(peer);
    Promise.resolve(script(peer, index)).catch(() => peer.socket.destroy());
  };
  const options = { allowHalfOpen: true, noDelay: true };
  const server: Server =
    place.tls === undefined
      ? createServer(options, accept)
      : createTlsServer({ ...options, ...place.tls }, accept).on("tlsClientError", () => {});
  // Sockets below TLS, including those whose handshake never ends.
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => {
    if (place.socketPath === undefined) server.listen(0, place.host ?? "127.0.0.1", resolve);
    else server.listen(place.socketPath, resolve);
  });
  const address = server.address();
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    port: typeof address === "string" ? 0 : (address as AddressInfo).port,
    peers,
    get open() {
      return open.size;
    },
    peer: (index) => {
      const there = peers[index];
      if (there !== undefined) return Promise.resolve(there);
      return new Promise((resolve) => waiting.push({ index, resolve }));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
