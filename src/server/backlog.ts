// What waits at a listening socket that is to be closed: the kernel resets the connections that nobody has taken.

/** Of the time that there is: with room for new connections. */
const roomyPart = 0.1;

/** A server's socket: not public in Node (26). */
export interface ListeningHandle {
  onconnection: (this: ListeningHandle, error: number, connection: unknown) => void;
  /** Again, with another backlog. */
  listen(backlog: number): number;
  close(): void;
}

/** @returns undefined = it does not listen */
export function listeningHandle(server: object): ListeningHandle | undefined {
  const { _handle: handle } = server as { _handle?: ListeningHandle | null };
  return handle ?? undefined;
}

/**
 * Closes it in a turn of the event loop in which nobody has come, or at `endMono`. Resolves when it is closed.
 * Whoever comes within the microseconds between the kernel's word and the close is still reset: nothing can prevent it.
 */
export async function closeEmptied(handle: ListeningHandle, endMono: number): Promise<void> {
  const beganMono = performance.now();
  const roomyMs = (endMono - beganMono) * roomyPart;
  const { onconnection } = handle;
  // A turn takes one (libuv 1.48).
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
    // They come faster than they are taken: without room for them, clients try again a second later.
    if (nowMono - beganMono > roomyMs) handle.listen(0);
    setImmediate(look);
  };
  setImmediate(look);
  await promise;
}
