// A TCP link to a server, which a test can cut and restore.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Link {
  readonly port: number;
  /** Ends all connections; new ones are refused. */
  cut(): void;
  restore(): void;
  close(): Promise<void>;
}

export async function startLink(port: number): Promise<Link> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((socket) => {
    if (isCut) {
      socket.destroy();
      return;
    }
    const onward = connect(port, "127.0.0.1");
    for (const [each, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(each);
      each
        .on("error", () => {})
        .once("close", () => {
          sockets.delete(each);
          other.destroy();
        });
    }
    socket.pipe(onward).pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const drop = (): void => sockets.forEach((socket) => socket.destroy());
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      isCut = true;
      drop();
    },
    restore() {
      isCut = false;
    },
    async close() {
      drop();
      server.close();
      await once(server, "close");
    },
  };
}
