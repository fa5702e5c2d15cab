// A TCP client that sends exactly the bytes a test gives it.
import { connect } from "node:net";
import { RawPeer } from "./raw-peer.ts";

/**
 * @param where port of 127.0.0.1, or path of a unix socket
 * @returns the connected client; rejects if the connection is refused
 */
export async function connectRaw(where: number | string): Promise<RawPeer> {
  const options = { allowHalfOpen: true, noDelay: true };
  const socket = connect(
    typeof where === "number" ? { ...options, host: "127.0.0.1", port: where } : { ...options, path: where },
  );
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return new RawPeer(socket);
}
