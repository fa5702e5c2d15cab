// A worker thread that is a service which ends its connection right behind each answer, and does not say so before. On a
// loop of its own: in the proxy's, the end would always be seen before the next request.
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
