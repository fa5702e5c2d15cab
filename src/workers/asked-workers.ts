// What all workers, or any of them, are asked for and answer at once.
import type { WorkerHandle } from "./worker-handle.ts";

const limitMs = 1_000;

export class AskedWorkers {
  readonly #workers: readonly WorkerHandle[];

  constructor(workers: readonly WorkerHandle[]) {
    this.#workers = workers;
  }

  /** A plugin's document by its path on the admin listener. */
  async document(path: string): Promise<string | undefined> {
    return await this.#workers.find((worker) => worker.serving)?.requestDocument(path, limitMs);
  }

  /** How the plugins of each worker fare, all in one list. */
  async plugins(): Promise<readonly unknown[]> {
    const told = await Promise.all(this.#workers.map((worker) => worker.requestPlugins(limitMs)));
    return told.flat();
  }

  /** What each worker knows of requests with this id, all in one list. */
  async requests(requestId: string): Promise<readonly unknown[]> {
    const told = await Promise.all(this.#workers.map((worker) => worker.requestRequests(requestId, limitMs)));
    return told.flat();
  }
}
