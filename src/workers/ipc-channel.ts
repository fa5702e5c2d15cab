// A worker's channel to its primary: messages in both directions, and calls with a response.
import cluster from "node:cluster";
import { untilLimit, withinLimit } from "../plugin-api/within-limit.ts";
import { parseToWorker, type ToPrimary, type ToWorker } from "./messages.ts";

export interface IpcChannel {
  /** Resolves with the primary's first message. */
  readonly welcome: Promise<Extract<ToWorker, { type: "welcome" }>>;
  /** Resolves when the primary is gone. */
  readonly disconnected: Promise<void>;
  /** Asks the primary to close the shared socket. Resolves when that is done, the primary is gone, or at the limit. */
  closeSocket(limitMs: number): Promise<void>;
  /** Resolves when the message is sent or cannot be sent; never rejects. */
  send(message: ToPrimary): Promise<void>;
  /** Passes the messages since the welcome, and all later ones, to `onMessage`. */
  listen(onMessage: (message: ToWorker) => void): void;
  /** Calls a plugin's shared state in the primary. Rejects without a response within `limitMs`. */
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
    // Otherwise Node (26.10) would end this process at once, with its requests in flight.
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

/** Calls to the primary that wait for their response, each with a timeout. */
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
