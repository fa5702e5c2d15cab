// Closes the sockets that all workers listen on. node:cluster opens them in the primary, accepts there and hands
// connections out. So the primary closes them, once every worker agrees and no connection is on its way to one.
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
    // The only other server of this process is the admin listener.
    const handle = server instanceof http.Server ? undefined : listeningHandle(server);
    if (handle !== undefined) this.#handles.push(handle);
  };

  constructor() {
    subscribe(opened, this.#onOpened);
  }

  /** Call it after the workers were told to drain. Resolves when each has its accepted connections, or at the limit. */
  async close(workers: readonly WorkerHandle[], limits: DrainLimits): Promise<void> {
    unsubscribe(opened, this.#onOpened);
    const beganMono = performance.now();
    const { openMs, closedMs } = phasesOf(limits);
    const all = Promise.all(workers.map(({ closing, ended }) => Promise.race([closing, ended])));
    // A worker that hangs never agrees.
    await untilLimit(all, (openMs + closedMs) / 2);
    await Promise.all(this.#handles.map((handle) => closeEmptied(handle, beganMono + closedMs)));
    const endMono = beganMono + limits.maxMs;
    while (workers.some(({ transit }) => transit.pending) && performance.now() < endMono)
      await sleep(lookEveryMs);
    for (const worker of workers) worker.send({ type: "closed" });
  }
}
