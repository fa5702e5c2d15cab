// Writes head, body and tail together in one write.
import type { Socket } from "node:net";

/** Up to here, appending a body to its head costs less than a second buffer for the kernel. */
const oneWriteBytes = 8 * 1024;

/**
 * @param head one character per byte, as is `tail`
 * @param chunked whether `body` goes out as a chunk
 * @param flushed called once everything has left the process
 * @returns false = the socket's buffer is full
 */
export function writeParts(
  socket: Socket,
  head: string,
  body: Buffer | undefined,
  chunked: boolean,
  tail: string,
  flushed: ((error?: Error | null) => void) | undefined,
): boolean {
  if (body === undefined) return socket.write(head + tail, "latin1", flushed);
  const before = chunked ? `${head}${body.length.toString(16)}\r\n` : head;
  const after = chunked ? `\r\n${tail}` : tail;
  if (body.length <= oneWriteBytes)
    return socket.write(before + body.toString("latin1") + after, "latin1", flushed);
  if (before === "" && after === "") return socket.write(body, flushed);
  socket.cork();
  if (before !== "") socket.write(before, "latin1");
  let taken = socket.write(body, after === "" ? flushed : undefined);
  if (after !== "") taken = socket.write(after, "latin1", flushed);
  socket.uncork();
  return taken;
}
