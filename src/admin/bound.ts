// Where the admin listener is bound, and its end.
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { ListenAddress } from "../config/formats.ts";
import { removeStaleSocket } from "../files/unix-socket.ts";

/** @param listen a descriptor is one that listens already */
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
