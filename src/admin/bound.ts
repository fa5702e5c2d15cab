// Binds and closes the admin listener.
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { ListenAddress } from "../config/formats.ts";
import { removeStaleSocket } from "../files/unix-socket.ts";

/** @param listen an address, or a listening descriptor @returns where it listens. Rejects when it cannot be bound */
export async function listenOn(
  server: Server,
  listen: ListenAddress | { readonly fd: number },
): Promise<AddressInfo | string> {
  if ("path" in listen) await removeStaleSocket(listen.path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(listen, resolve);
  await promise;
  server.off("error", reject);
  return server.address() as AddressInfo | string;
}

export async function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  const limit = setTimeout(() => server.closeAllConnections(), 1000);
  await promise;
  clearTimeout(limit);
}
