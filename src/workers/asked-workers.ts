// Requests that the primary sends to all workers, or to any one of them.
import type { WorkerHandle } from "./worker-handle.ts";

const limitMs = 1_000;

export class AskedWorkers {
  readonly #workers: readonly WorkerHandle[];

  constructor(workers: readonly WorkerHandle[]) {
    this.#workers = workers;
  }

  /** Fetches a plugin's document by its path on the admin listener. */
  async document(path: string): Promise<string | undefined> {
    return await this.#workers.find((worker) => worker.serving)?.requestDocument(path, limitMs);
  }

  /** The state of the plugins of all workers, in one list. */
  async plugins(): Promise<readonly unknown[]> {
    const told = await Promise.all(this.#workers.map((worker) => worker.requestPlugins(limitMs)));
    return told.flat();
  }

  /** Everything the workers know of requests with this id, in one list. */
  async requests(requestId: string): Promise<readonly unknown[]> {
    const told = await Promise.all(this.#workers.map((worker) => worker.requestRequests(requestId, limitMs)));
    return told.flat();
  }
}
