// Limits what a flood on the admin listener can do: the listener is open to everybody who can reach it, and shares its
// process with all requests.
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { isGone } from "../client/gone.ts";

/** A token bucket: each scraper gets a fresh page, while a flood gets the last one. */
const maxRenders = 10;
const renderEveryMs = 100;
/** Longest silence of a client that neither sends a request nor reads its answer. */
const silentMs = 10_000;

/** Runs one render at a time and about ten a second at most; callers beyond that get the last text. */
export function sparingly(render: () => Promise<string>, now = performance.now.bind(performance)) {
  let last: string | undefined;
  let running: Promise<string> | undefined;
  let reserve = maxRenders;
  let countedMono = now();
  return async (): Promise<string> => {
    if (running !== undefined) return await running;
    const nowMono = now();
    reserve = Math.min(maxRenders, reserve + (nowMono - countedMono) / renderEveryMs);
    countedMono = nowMono;
    if (last !== undefined && reserve < 1) return last;
    reserve -= 1;
    running = render().finally(() => (running = undefined));
    last = await running;
    return last;
  };
}

/** Bounds each client: half of the connections, one request at a time, ten seconds of silence. */
export function boundClients(server: Server, maxConnections: number): void {
  server.maxConnections = maxConnections;
  server.timeout = silentMs;
  const maxOfOne = Math.max(1, maxConnections >> 1);
  const open = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const { remoteAddress: address } = socket;
    if (address === undefined) {
      // Peers of a unix socket have no address; the permissions of its file decide who may connect.
      if (isGone(socket)) socket.destroy();
      return;
    }
    const own = (open.get(address) ?? 0) + 1;
    if (own > maxOfOne) {
      socket.destroy();
      return;
    }
    open.set(address, own);
    socket.once("close", () => {
      const left = (open.get(address) ?? 0) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
  });
}

const answering = new WeakSet<Socket>();

/** @returns false for a request pipelined before the last answer: only floods do so, so the connection is closed */
export function isAlone({ socket }: IncomingMessage, response: ServerResponse): boolean {
  if (socket.destroyed) return false;
  if (answering.has(socket)) {
    socket.destroy();
    return false;
  }
  answering.add(socket);
  response.once("close", () => answering.delete(socket));
  return true;
}
