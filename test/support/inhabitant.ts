// A process in a network namespace of its own (network.ts): runs servers and commands as messages tell it to.
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Server } from "node:net";
import { outrigger } from "./process.ts";

export type Task =
  | { readonly outrigger: readonly string[]; readonly env: Readonly<Record<string, string>> }
  | {
      /** Serves answers that name the client by the field that the sidecar adds; without that field, "direct". */
      readonly serve: { readonly host: string; readonly port: number };
      readonly tls?: { readonly cert: string; readonly key: string };
    }
  | { readonly echoUdp: { readonly port: number } }
  | { readonly stopServing: number };

const servers = new Map<number, Server>();

const answer: RequestListener = ({ headers, socket }, response) => {
  const client = headers["x-forwarded-for"];
  response.end(
    client === undefined ? `direct at ${socket.localPort}` : `for ${String(client)}, host ${headers.host}`,
  );
};

async function perform(task: Task): Promise<unknown> {
  if ("outrigger" in task)
    return await outrigger(task.outrigger, { PATH: process.env["PATH"] ?? "", ...task.env });
  if ("serve" in task) {
    const server = task.tls === undefined ? createServer(answer) : createTlsServer(task.tls, answer);
    servers.set(task.serve.port, server);
    await once(server.listen(task.serve), "listening");
    return undefined;
  }
  if ("echoUdp" in task) {
    const socket = createSocket("udp4", (message, peer) => socket.send(message, peer.port, peer.address));
    await once(socket.bind(task.echoUdp), "listening");
    return undefined;
  }
  const server = servers.get(task.stopServing);
  if (server !== undefined && "closeAllConnections" in server)
    (server as { closeAllConnections(): void }).closeAllConnections();
  await new Promise((resolve) => server?.close(resolve));
  return undefined;
}

process.on("message", ({ number, task }: { number: number; task: Task }) => {
  perform(task).then(
    (result) => process.send?.({ number, result }),
    (error: unknown) => process.send?.({ number, error: String(error) }),
  );
});
