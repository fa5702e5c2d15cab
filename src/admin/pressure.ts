// What keeps a flood on the admin listener from those who need it: it is open to everybody who reaches it, and shares the
// process with all requests.
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { isGone } from "../client/gone.ts";

/** Renders in reserve, and how often one comes back: every scraper there is gets a fresh text, a flood gets the last one. */
const maxRenders = 10;
const renderEveryMs = 100;
/** A client that neither asks nor takes its answer. */
const silentMs = 10_000;

/** Renders once at a time and ten times a second at most; whoever asks more often gets the last text. */
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

/** Bounds what one client may take: half of the connections, one request at a time, ten seconds of silence. */
export function boundClients(server: Server, maxConnections: number): void {
  server.maxConnections = maxConnections;
  server.timeout = silentMs;
  const maxOfOne = Math.max(1, maxConnections >> 1);
  const open = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const { remoteAddress: address } = socket;
    if (address === undefined) {
      // Over a unix socket nobody has one: who may open it is the file's business.
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

/** @returns false for a request behind one that is not answered yet: nobody but a flood pipelines here, and it ends */
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
