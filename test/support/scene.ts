// Everything one attack or one fault needs: real sidecars and a real Redis, started on demand and removed afterwards.
import { type RedisServer, startRedis } from "./redis.ts";
import { startSidecar, type TestSidecar, type TestSidecarOptions } from "./sidecar.ts";

export class Scene {
  readonly #cleanups: (() => unknown)[] = [];
  #redis: Promise<RedisServer> | undefined;

  /** Registers a cleanup for the end of the scene; the last one runs first. */
  after(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  async sidecar(options: TestSidecarOptions): Promise<TestSidecar> {
    const sidecar = await startSidecar(options);
    this.after(() => sidecar.stop());
    return sidecar;
  }

  /** Starts the scene's one server on the first call, empty. */
  redis(): Promise<RedisServer> {
    this.#redis ??= startRedis().then((server) => {
      this.after(() => server.close());
      return server;
    });
    return this.#redis;
  }

  async close(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }
}

/**
 * Runs the work in a scene, and always ends the scene. Rejects as the work does, or if it takes longer than the limit.
 */
export async function inScene<T>(limitMs: number, work: (scene: Scene) => Promise<T>): Promise<T> {
  const scene = new Scene();
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([work(scene), limit]);
  } finally {
    clearTimeout(timer);
    await scene.close();
  }
}
