// Measures the live heap of a Node process that was started with --inspect: asks its inspector for the heap after a
// collection.
import { once } from "node:events";
import { WebSocket } from "ws";

export interface LiveHeap {
  /** Collects garbage, then measures. Rejects if the process does not answer within 10 s. */
  mebibytes(): Promise<number>;
  close(): void;
}

/** @param url the inspector's URL, as the process prints it: `ws://127.0.0.1:port/id` */
export async function openLiveHeap(url: string): Promise<LiveHeap> {
  const socket = new WebSocket(url);
  await once(socket, "open");
  let id = 0;
  const call = async (method: string): Promise<{ usedSize?: number }> => {
    id += 1;
    socket.send(JSON.stringify({ id, method }));
    for (;;) {
      const [data] = (await once(socket, "message", { signal: AbortSignal.timeout(10_000) })) as [Buffer];
      const answer = JSON.parse(data.toString()) as { id?: number; result?: { usedSize?: number } };
      if (answer.id === id) return answer.result ?? {};
    }
  };
  await call("HeapProfiler.enable");
  return {
    async mebibytes() {
      await call("HeapProfiler.collectGarbage");
      const { usedSize = 0 } = await call("Runtime.getHeapUsage");
      return usedSize / (1024 * 1024);
    },
    close: () => socket.terminate(),
  };
}
