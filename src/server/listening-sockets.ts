// The sockets on which connections come, all for one server: it listens on the first itself, and is handed what comes on
// the others.
import { chmodSync } from "node:fs";
import { type AddressInfo, createServer, Server } from "node:net";
import { closeEmptied, listeningHandle } from "./backlog.ts";

/** Where to listen. */
export type ListenPlace =
  | { readonly host: string; readonly port: number }
  /** A unix socket. */
  | { readonly path: string }
  /** A socket that whoever started this process opened. */
  | { readonly fd: number };

export interface ListeningOptions {
  /** In the order in which they are opened. */
  readonly places: readonly ListenPlace[];
  /** Of unix sockets; undefined = by the process's umask. */
  readonly mode: number | undefined;
  /** Whether other processes may listen on the same ports (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** This process is one of several that node:cluster hands connections to: what it listens on is all of theirs. */
  readonly shared: boolean;
  readonly maxConnections: number;
  /** A connection was closed unseen: there are too many on its socket. */
  readonly onDrop: () => void;
}

/**
 * Most that the kernel holds while this process does something else; Linux takes `net.core.somaxconn` at most, which is
 * as much. With Node's 511 a crowd that comes in one moment is dropped, and tries again a second later.
 */
const backlog = 4_096;

export class ListeningSockets {
  readonly #server: Server;
  readonly #options: ListeningOptions;
  readonly #opened: { readonly server: Server; readonly own: boolean }[] = [];

  /** @param server takes every connection by its `connection` event */
  constructor(server: Server, options: ListeningOptions) {
    this.#server = server;
    this.#options = options;
  }

  /** On all that was asked for. */
  get listening(): boolean {
    const opened = this.#opened;
    return opened.length === this.#options.places.length && opened.every(({ server }) => server.listening);
  }

  /** Opens the next one. Rejects when it cannot be bound. @returns where it listens */
  async open(place: ListenPlace): Promise<AddressInfo | string> {
    const { reusePort, shared } = this.#options;
    const server = this.#opened.length === 0 ? this.#server : this.#further();
    if (shared) {
      // One too many is closed; by default it would be handed round between full workers without end (Node 26.10).
      Object.assign(server, { dropMaxConnection: true });
    }
    const isPort = "port" in place;
    // The kernel gives every process its part then; a file can only be one's.
    const own = !shared || (reusePort && isPort);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      this.#bind(server, place, own, () => {
        server.off("error", reject);
        resolve();
      });
    });
    this.#opened.push({ server, own });
    // Whatever the umask took away; a file made by another process has the mode of that one until now.
    if ("path" in place && this.#options.mode !== undefined) chmodSync(place.path, this.#options.mode);
    return server.address() as AddressInfo | string;
  }

  /** Takes what waits at the sockets that are this process's own, and closes them. Resolves then, or at `endMono`. */
  async takeBacklog(endMono: number): Promise<void> {
    await Promise.all(
      this.#opened.map(async ({ server, own }) => {
        const handle = own ? listeningHandle(server) : undefined;
        if (handle !== undefined) await closeEmptied(handle, endMono);
      }),
    );
  }

  /** Not the way of node:http, which would close connections, too, that may just have a request on the way. */
  close(): void {
    for (const { server } of this.#opened) Server.prototype.close.call(server);
  }

  #bind(server: Server, place: ListenPlace, own: boolean, done: () => void): void {
    const { mode, places, reusePort } = this.#options;
    if ("path" in place) {
      // Made at once by this process: nobody connects before the mode is right.
      const before = mode !== undefined && own ? process.umask(0o777 & ~mode) : undefined;
      server.listen({ ...place, backlog }, done);
      if (before !== undefined) process.umask(before);
    } else if ("fd" in place) {
      server.listen({ ...place, backlog }, done);
    } else {
      // Without that, `::` takes the port of IPv4 as well.
      const ipv6Only =
        place.host === "::" &&
        places.some((each) => "port" in each && each.host === "0.0.0.0" && each.port === place.port);
      server.listen({ ...place, backlog, ipv6Only, reusePort }, done);
    }
  }

  #further(): Server {
    const { maxConnections, onDrop } = this.#options;
    // As node:http makes its own.
    const further = createServer({ allowHalfOpen: true, noDelay: true });
    further.maxConnections = maxConnections;
    further.on("connection", (socket) => void this.#server.emit("connection", socket));
    further.on("drop", onDrop);
    return further;
  }
}
