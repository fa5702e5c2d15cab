// Large documents are read in a thread of their own: reading takes a second of work in one piece that nothing can divide
// (the YAML library's, zod's), while requests wait. The thread ends with its reading, and its memory goes with it.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { pack, unpack } from "./packed.ts";
import { defaultMaxBytes, isJsonText } from "./document/parse.ts";
import { type Problem, PolicyRefused, ReadingCutShort } from "./document/problems.ts";
import {
  createPolicyReader,
  type EffectivePolicy,
  type PolicyReader,
  type PolicyReaderOptions,
  type RawPolicy,
} from "./read.ts";
import type { PolicyPlugins } from "./document/schema.ts";

/** What can be said to a thread: all but the plugins, which it has by itself. */
type ThreadReaderOptions = Omit<PolicyReaderOptions, "plugins">;

export interface ReadingThreadOptions extends ThreadReaderOptions {
  /** The program of the thread; it calls `readInThisThread`. */
  readonly program: URL;
  /** Reads what is small: starting a thread costs more than reading that. */
  readonly here: PolicyReader;
  readonly limitMs?: number;
  /** Default: by `maxBytes`. */
  readonly limitMiB?: number;
}

/** What reading takes 10 ms for, or a little more; a thread is 200 ms of CPU before it reads. */
const maxBytesHere = { json: 49_152, yaml: 12_288 };

/** Two documents of any kind need 130 at the default of 1 MiB each; thousands of ordinary routes 32. */
function mebibytesFor(maxBytes = defaultMaxBytes): number {
  return 128 + Math.ceil((64 * maxBytes) / 1_048_576);
}

interface Task {
  readonly raw: RawPolicy;
  readonly options: ThreadReaderOptions;
}

type Answer = { readonly parts: Uint8Array[] } | { readonly problems: readonly Problem[] };

/** Reads as `here` does, large documents in a thread. */
export function createThreadedReader(options: ReadingThreadOptions): PolicyReader {
  const { here, ...thread } = options;
  return (raw, signal) => (isLarge(raw) ? readInThread(raw, thread, signal) : here(raw, signal));
}

function isLarge({ shared, layer, format }: RawPolicy): boolean {
  const size = shared.byteLength + (layer?.byteLength ?? 0);
  return size > (isJsonText(shared, format) ? maxBytesHere.json : maxBytesHere.yaml);
}

async function readInThread(
  raw: RawPolicy,
  { program, limitMs = 30_000, limitMiB, ...options }: Omit<ReadingThreadOptions, "here">,
  signal: AbortSignal | undefined,
): Promise<EffectivePolicy> {
  signal?.throwIfAborted();
  const maxMiB = limitMiB ?? mebibytesFor(options.maxBytes);
  const worker = new Worker(program, {
    name: "policy",
    workerData: { raw, options } satisfies Task,
    // Neither secrets nor what this process was started with is for it.
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: maxMiB, maxYoungGenerationSizeMb: 16 },
  });
  let parts: Uint8Array[];
  try {
    parts = await answerOf(worker, { limitMs, limitMiB: maxMiB }, signal);
  } finally {
    await worker.terminate();
  }
  return unpack(parts);
}

/** Rejects with PolicyRefused, and with the signal's reason. */
async function answerOf(
  worker: Worker,
  { limitMs, limitMiB }: { readonly limitMs: number; readonly limitMiB: number },
  signal: AbortSignal | undefined,
): Promise<Uint8Array[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const limit = setTimeout(() => {
    reject(new ReadingCutShort(`takes longer than ${limitMs / 1000} s to read`));
  }, limitMs);
  const abort = (): void => reject(signal?.reason as Error);
  signal?.addEventListener("abort", abort);
  worker.once("message", resolve);
  worker.once("error", (error: NodeJS.ErrnoException) => {
    const isFull = error.code === "ERR_WORKER_OUT_OF_MEMORY";
    reject(isFull ? new ReadingCutShort(`takes more than ${limitMiB} MiB of memory to read`) : error);
  });
  worker.once("exit", () => reject(new Error("the thread that read the policy ended")));
  try {
    const answer = await promise;
    if ("problems" in answer) throw new PolicyRefused(answer.problems);
    return answer.parts;
  } finally {
    clearTimeout(limit);
    signal?.removeEventListener("abort", abort);
  }
}

/** All that the thread does. */
export async function readInThisThread(plugins: PolicyPlugins): Promise<void> {
  if (isMainThread) throw new Error("this is for a thread");
  const { raw, options } = workerData as Task;
  const read = await createPolicyReader({ plugins, ...options });
  try {
    const parts = pack(await read(raw));
    parentPort?.postMessage(
      { parts } satisfies Answer,
      parts.map(({ buffer }) => buffer),
    );
  } catch (error) {
    if (!(error instanceof PolicyRefused)) throw error;
    parentPort?.postMessage({ problems: error.problems } satisfies Answer, []);
  }
}
