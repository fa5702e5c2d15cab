// Opens the listening sockets of one server. The server itself listens on the first; it is handed the connections of
// the others.
import { chmodSync } from "node:fs";
import { type AddressInfo, createServer, Server } from "node:net";
import { closeEmptied, listeningHandle } from "./backlog.ts";

/** Where to listen. */
export type ListenPlace =
  | { readonly host: string; readonly port: number }
  /** A unix socket. */
  | { readonly path: string }
  /** A socket that the parent process opened and passed on. */
  | { readonly fd: number };

export interface ListeningOptions {
  /** In the order in which they are opened. */
  readonly places: readonly ListenPlace[];
  /** The mode of unix sockets; undefined = the process's umask decides. */
  readonly mode: number | undefined;
  /** Whether other processes may listen on the same ports (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** This process is one of several that node:cluster hands connections to: they share all listening sockets. */
  readonly shared: boolean;
  readonly maxConnections: number;
  /** A connection was closed unread: there are too many on its socket. */
  readonly onDrop: () => void;
}

/**
 * The most connections that the kernel holds while this process is busy. Linux caps it at `net.core.somaxconn`, which
 * is as much by default. With Node's default of 511, a burst is dropped, and those clients try again a second later.
 */
const backlog = 4_096;

export class ListeningSockets {
  readonly #server: Server;
  readonly #options: ListeningOptions;
  readonly #opened: { readonly server: Server; readonly own: boolean }[] = [];

  /** @param server gets every connection by its `connection` event */
  constructor(server: Server, options: ListeningOptions) {
    this.#server = server;
    this.#options = options;
  }

  /** Whether all requested places are open. */
  get listening(): boolean {
    const opened = this.#opened;
    return opened.length === this.#options.places.length && opened.every(({ server }) => server.listening);
  }

  /** Opens the next place. Rejects if it cannot be bound. @returns where it listens */
  async open(place: ListenPlace): Promise<AddressInfo | string> {
    const { reusePort, shared } = this.#options;
    const server = this.#opened.length === 0 ? this.#server : this.#further();
    if (shared) {
      // A connection too many is closed. By default, full workers would hand it round without end (Node 26.10).
      Object.assign(server, { dropMaxConnection: true });
    }
    const isPort = "port" in place;
    // With SO_REUSEPORT, the kernel gives every process its part; a socket file can belong to only one process.
    const own = !shared || (reusePort && isPort);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      this.#bind(server, place, own, () => {
        server.off("error", reject);
        resolve();
      });
    });
    this.#opened.push({ server, own });
    // Sets the mode whatever the umask was. If another process made the file, it had that process's mode until now.
    if ("path" in place && this.#options.mode !== undefined) chmodSync(place.path, this.#options.mode);
    return server.address() as AddressInfo | string;
  }

  /** Accepts what waits at this process's own sockets, then closes the sockets. Resolves then, or at `endMono`. */
  async takeBacklog(endMono: number): Promise<void> {
    await Promise.all(
      this.#opened.map(async ({ server, own }) => {
        const handle = own ? listeningHandle(server) : undefined;
        if (handle !== undefined) await closeEmptied(handle, endMono);
      }),
    );
  }

  /** Bypasses the `close` of node:http, which would also close connections that may just have a request on the way. */
  close(): void {
    for (const { server } of this.#opened) Server.prototype.close.call(server);
  }

  #bind(server: Server, place: ListenPlace, own: boolean, done: () => void): void {
    const { mode, places, reusePort } = this.#options;
    if ("path" in place) {
      // This process makes the file with the right mode at once: nobody can connect before the mode is right.
      const before = mode !== undefined && own ? process.umask(0o777 & ~mode) : undefined;
      server.listen({ ...place, backlog }, done);
      if (before !== undefined) process.umask(before);
    } else if ("fd" in place) {
      server.listen({ ...place, backlog }, done);
    } else {
      // Otherwise `::` would also take the IPv4 port.
      const ipv6Only =
        place.host === "::" &&
        places.some((each) => "port" in each && each.host === "0.0.0.0" && each.port === place.port);
      server.listen({ ...place, backlog, ipv6Only, reusePort }, done);
    }
  }

  #further(): Server {
    const { maxConnections, onDrop } = this.#options;
    // With the same options as node:http's own server.
    const further = createServer({ allowHalfOpen: true, noDelay: true });
    further.maxConnections = maxConnections;
    further.on("connection", (socket) => void this.#server.emit("connection", socket));
    further.on("drop", onDrop);
    return further;
  }
}
