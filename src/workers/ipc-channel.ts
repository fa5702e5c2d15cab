// A worker's channel to its primary: messages both ways, and calls that have a response.
import cluster from "node:cluster";
import { untilLimit, withinLimit } from "../plugin-api/within-limit.ts";
import { parseToWorker, type ToPrimary, type ToWorker } from "./messages.ts";

export interface IpcChannel {
  /** Resolves with the primary's first message. */
  readonly welcome: Promise<Extract<ToWorker, { type: "welcome" }>>;
  /** Resolves when the primary is gone. */
  readonly disconnected: Promise<void>;
  /** Asks for the end of the shared socket. Resolves when the primary has seen to it, or is gone, or at the limit. */
  closeSocket(limitMs: number): Promise<void>;
  /** Resolves when the message is sent, or cannot be; never rejects. */
  send(message: ToPrimary): Promise<void>;
  /** Hands over the messages since the welcome, and all that follow. */
  listen(onMessage: (message: ToWorker) => void): void;
  /** Calls a plugin's shared state in the primary. Rejects when there is no response, or none within `limitMs`. */
  call(plugin: string, request: unknown, limitMs: number): Promise<unknown>;
}

type Response = Extract<ToWorker, { type: "response" }>;

export function connectToPrimary(): IpcChannel {
  const welcome = Promise.withResolvers<Extract<ToWorker, { type: "welcome" }>>();
  const disconnected = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const calls = new PendingCalls();
  const early: ToWorker[] = [];
  let onMessage = (message: ToWorker): void => void early.push(message);

  process.on("message", (received: unknown) => {
    const message = parseToWorker(received);
    if (message.type === "welcome") welcome.resolve(message);
    else if (message.type === "closed") closed.resolve();
    else if (message.type === "response") calls.settle(message);
    else onMessage(message);
  });
  cluster.worker?.once("disconnect", () => {
    // Or Node (26.10) ends this process on the spot, with the requests that are in flight.
    if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
    disconnected.resolve();
  });

  return {
    welcome: welcome.promise,
    disconnected: disconnected.promise,
    async closeSocket(limitMs) {
      void send({ type: "closing" });
      await untilLimit(Promise.race([closed.promise, disconnected.promise]), limitMs);
    },
    send,
    listen(handler) {
      onMessage = handler;
      for (const message of early.splice(0)) handler(message);
    },
    call: (plugin, request, limitMs) => calls.send(plugin, request, limitMs),
  };
}

/** Calls to the primary that have no response yet, each bounded in time. */
class PendingCalls {
  readonly #waiting = new Map<number, (response: Response) => void>();
  #lastId = 0;

  async send(plugin: string, request: unknown, limitMs: number): Promise<unknown> {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, ({ response, error }) => {
      if (error === undefined) resolve(response);
      else reject(new Error(error));
    });
    void send({ type: "request", id, plugin, request });
    try {
      return await withinLimit(promise, limitMs, "the primary does not respond");
    } finally {
      this.#waiting.delete(id);
    }
  }

  settle(response: Response): void {
    this.#waiting.get(response.id)?.(response);
  }
}

function send(message: ToPrimary): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (process.connected && process.send) process.send(message, undefined, {}, () => resolve());
  else resolve();
  return promise;
}
