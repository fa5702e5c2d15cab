// What one attack or one fault needs: real sidecars and a real Redis, started when asked for and gone afterwards.
import { type RedisServer, startRedis } from "./redis.ts";
import { startSidecar, type TestSidecar, type TestSidecarOptions } from "./sidecar.ts";

export class Scene {
  readonly #cleanups: (() => unknown)[] = [];
  #redis: Promise<RedisServer> | undefined;

  /** Runs when the scene is over, last first. */
  after(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  async sidecar(options: TestSidecarOptions): Promise<TestSidecar> {
    const sidecar = await startSidecar(options);
    this.after(() => sidecar.stop());
    return sidecar;
  }

  /** One server a scene, empty when first asked for. */
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

/** Ends a scene whatever its work came to. Rejects as the work does, or when it takes longer than the limit. */
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
