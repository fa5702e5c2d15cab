// Starts a further service of a scene, besides the sidecar's own.
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Scene } from "../support/scene.ts";

/** @returns its URL */
export async function startUpstream(scene: Scene, handler: http.RequestListener): Promise<string> {
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  scene.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
