// Removes socket files of killed processes: binding to their path would fail although nobody listens there.
import { lstat, unlink } from "node:fs/promises";
import { connect } from "node:net";

/** Whether a connection to the path is refused: then the listener behind the file is gone. */
function isRefused(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  // Needs no timeout: the kernel answers at once, with a connection or an error (a full backlog: EAGAIN).
  const socket = connect(path, () => resolve(false));
  socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  return promise.finally(() => socket.destroy());
}

/** Removes the socket file if nobody listens behind it. Other problems with the path are left for `listen`. */
export async function removeStaleSocket(path: string): Promise<void> {
  const isSocket = await lstat(path).then(
    (found) => found.isSocket(),
    () => false,
  );
  if (!isSocket || !(await isRefused(path))) return;
  // Another process may have removed it first.
  await unlink(path).catch(() => undefined);
}

/** The same for all places that are socket files. */
export async function removeStaleSockets(places: readonly object[]): Promise<void> {
  for (const place of places)
    if ("path" in place && typeof place.path === "string") await removeStaleSocket(place.path);
}
