// The sockets that all workers listen on. node:cluster opens them in this process, accepts here and hands out what comes:
// so they are closed here, when every worker would, and nothing is on its way to one.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { untilLimit } from "../plugin-api/within-limit.ts";
import { closeEmptied, type ListeningHandle, listeningHandle } from "../server/backlog.ts";
import { type DrainLimits, phasesOf } from "../server/drain.ts";
import type { WorkerHandle } from "./worker-handle.ts";

const lookEveryMs = 5;
const opened = "tracing:net.server.listen:asyncEnd";

export class SharedSocket {
  readonly #handles: ListeningHandle[] = [];
  readonly #onOpened = (message: unknown): void => {
    const { server } = message as { readonly server: object };
    // Beside it, this process has the admin listener alone.
    const handle = server instanceof http.Server ? undefined : listeningHandle(server);
    if (handle !== undefined) this.#handles.push(handle);
  };

  constructor() {
    subscribe(opened, this.#onOpened);
  }

  /** Called when the workers were told to drain. Resolves when each has what was accepted for it, or at the limit. */
  async close(workers: readonly WorkerHandle[], limits: DrainLimits): Promise<void> {
    unsubscribe(opened, this.#onOpened);
    const beganMono = performance.now();
    const { openMs, closedMs } = phasesOf(limits);
    const all = Promise.all(workers.map(({ closing, ended }) => Promise.race([closing, ended])));
    // One that hangs says nothing.
    await untilLimit(all, (openMs + closedMs) / 2);
    await Promise.all(this.#handles.map((handle) => closeEmptied(handle, beganMono + closedMs)));
    const endMono = beganMono + limits.maxMs;
    while (workers.some(({ transit }) => transit.pending) && performance.now() < endMono)
      await sleep(lookEveryMs);
    for (const worker of workers) worker.send({ type: "closed" });
  }
}
