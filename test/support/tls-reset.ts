// A TLS client that sends everything right behind the last step of its handshake and resets at once: the server then
// reads a request on a connection to which it cannot write any more, not even TLS records.
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";

/** Resolves when the client is gone. */
export async function sendAndReset(port: number, text: string, localAddress = "127.0.0.1"): Promise<void> {
  const raw = net.connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
  const closed = new Promise((resolve) => raw.once("close", resolve));
  raw.on("error", () => {});
  await once(raw, "connect");
  const socket = tls.connect({ socket: raw, rejectUnauthorized: false });
  socket.on("error", () => {});
  socket.once("secureConnect", () => socket.write(text, "latin1", () => raw.resetAndDestroy()));
  await closed;
}
