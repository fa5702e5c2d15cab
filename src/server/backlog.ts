// Closes a listening socket only after its backlog is empty: the kernel resets connections that nobody has accepted.

/** The part of the available time in which new connections may still queue. */
const roomyPart = 0.1;

/** The handle behind a server's socket: not public in Node (26). */
export interface ListeningHandle {
  onconnection: (this: ListeningHandle, error: number, connection: unknown) => void;
  /** Listens again, with another backlog. */
  listen(backlog: number): number;
  close(): void;
}

/** @returns undefined = the server does not listen */
export function listeningHandle(server: object): ListeningHandle | undefined {
  const { _handle: handle } = server as { _handle?: ListeningHandle | null };
  return handle ?? undefined;
}

/**
 * Closes the handle after a turn of the event loop that brings no connection, or at `endMono`. Resolves once it is
 * closed. A client that connects in the microseconds between the kernel's report and the close is still reset: that
 * cannot be prevented.
 */
export async function closeEmptied(handle: ListeningHandle, endMono: number): Promise<void> {
  const beganMono = performance.now();
  const roomyMs = (endMono - beganMono) * roomyPart;
  const { onconnection } = handle;
  // One turn accepts one connection (libuv 1.48).
  let emptyTurns = 0;
  handle.onconnection = (error, connection) => {
    emptyTurns = 0;
    onconnection.call(handle, error, connection);
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = (): void => {
    const nowMono = performance.now();
    if (emptyTurns > 0 || nowMono >= endMono) {
      handle.close();
      resolve();
      return;
    }
    emptyTurns += 1;
    // Connections come faster than they are accepted. Without room in the backlog, clients try again a second later.
    if (nowMono - beganMono > roomyMs) handle.listen(0);
    setImmediate(look);
  };
  setImmediate(look);
  await promise;
}
