// Worker thread: a service that closes its connection right after each answer, without announcing it. It runs on an
// event loop of its own: on the proxy's loop, the proxy would always see the end before the next request.
import { parentPort } from "node:worker_threads";
import type { RawPeer } from "./raw-peer.ts";
import { startRawServer } from "./raw-server.ts";

async function closing(peer: RawPeer): Promise<void> {
  const head = await peer.head();
  if (head.includes("ontent-Length: 5")) await peer.bytes(5);
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  peer.end();
}

const service = await startRawServer(closing);
parentPort?.postMessage(service.port, []);
