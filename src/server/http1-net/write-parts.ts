// What leaves together leaves in one write.
import type { Socket } from "node:net";

/** Up to here, copying a body behind its head costs less than a second buffer for the kernel. */
const oneWriteBytes = 8 * 1024;

/**
 * @param head and `tail`: one character a byte
 * @param chunked whether `body` goes out as a chunk
 * @param flushed called once it has left the process
 * @returns false = the socket has enough
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
