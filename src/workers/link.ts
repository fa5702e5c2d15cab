// A worker's line to its primary.
import cluster from "node:cluster";
import { setTimeout as sleep } from "node:timers/promises";
import { parseToWorker, type ToPrimary, type ToWorker } from "./messages.ts";

export interface PrimaryLink {
  /** Resolves with the primary's first word. */
  readonly welcome: Promise<Extract<ToWorker, { type: "welcome" }>>;
  /** Resolves when the primary is gone. */
  readonly lost: Promise<void>;
  /** Asks for the end of the common socket. Resolves when the primary has seen to it, or is gone, or at the limit. */
  closeSocket(limitMs: number): Promise<void>;
  /** Resolves when the message is out, or cannot be; never rejects. */
  send(message: ToPrimary): Promise<void>;
  /** Hands over what has come since the welcome and whatever comes. */
  listen(onMessage: (message: ToWorker) => void): void;
  /** Asks a plugin's part in the primary. Rejects when it has no answer, or none within `limitMs`. */
  ask(plugin: string, question: unknown, limitMs: number): Promise<unknown>;
}

interface Asked {
  readonly settle: (message: Extract<ToWorker, { type: "answer" }>) => void;
}

export function connectPrimary(): PrimaryLink {
  const welcome = Promise.withResolvers<Extract<ToWorker, { type: "welcome" }>>();
  const lost = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const asked = new Map<number, Asked>();
  const early: ToWorker[] = [];
  let lastAsk = 0;
  let onMessage = (message: ToWorker): void => void early.push(message);

  process.on("message", (received: unknown) => {
    const message = parseToWorker(received);
    if (message.type === "welcome") welcome.resolve(message);
    else if (message.type === "closed") closed.resolve();
    else if (message.type === "answer") asked.get(message.id)?.settle(message);
    else onMessage(message);
  });
  cluster.worker?.once("disconnect", () => {
    // Or Node (26.10) ends this process on the spot, with the requests that are in flight.
    if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
    lost.resolve();
  });

  return {
    welcome: welcome.promise,
    lost: lost.promise,
    async closeSocket(limitMs) {
      void send({ type: "closing" });
      const limit = sleep(limitMs, undefined, { ref: false });
      await Promise.race([closed.promise, lost.promise, limit]);
    },
    send,
    listen(handler) {
      onMessage = handler;
      for (const message of early.splice(0)) handler(message);
    },
    async ask(plugin, question, limitMs) {
      const id = ++lastAsk;
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const limit = setTimeout(() => reject(new Error("the primary does not answer")), limitMs);
      asked.set(id, {
        settle({ answer, error }) {
          if (error === undefined) resolve(answer);
          else reject(new Error(error));
        },
      });
      void send({ type: "question", id, plugin, question });
      try {
        return await promise;
      } finally {
        clearTimeout(limit);
        asked.delete(id);
      }
    },
  };
}

function send(message: ToPrimary): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (process.connected && process.send) process.send(message, undefined, {}, () => resolve());
  else resolve();
  return promise;
}
