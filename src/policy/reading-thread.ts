// Reads large documents in a thread of its own: the YAML library and zod take up to a second of work that cannot be
// divided, and requests would have to wait. The thread and its memory go away after one reading.
import { once } from "node:events";
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from "node:worker_threads";
import { type Entries, type PackageProblem, PackagesRefused } from "../extensions/package-store.ts";
import type { Package } from "../extensions/manifest.ts";
import type { FindPackages } from "./extensions/resolve.ts";
import { textOf } from "../plugin-api/error-text.ts";
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

/** Options that can be sent to a thread: all but the plugins, which it has itself, and the finder of packages. */
type ThreadReaderOptions = Omit<PolicyReaderOptions, "plugins" | "packages">;

export interface ReadingThreadOptions extends ThreadReaderOptions {
  /**
   * Runs in the calling thread: the reading thread has neither network nor Redis. Default: policies with extensions are
   * refused.
   */
  readonly packages?: FindPackages | undefined;
  /** The thread's program, as a file or its text. It calls `readInThisThread`. */
  readonly program: URL | (() => string);
  /** Reads small documents: starting a thread costs more than reading them. */
  readonly here: PolicyReader;
  readonly limitMs?: number;
  /** Default: derived from `maxBytes`. */
  readonly limitMiB?: number;
}

/** Documents up to this size take about 10 ms to read; a thread uses 200 ms of CPU before it reads. */
const maxBytesHere = { json: 49_152, yaml: 12_288 };

/**
 * Memory limit of the thread. Two documents of any kind need 130 MiB at the default of 1 MiB each; thousands of
 * ordinary routes need 32 MiB.
 */
function mebibytesFor(maxBytes = defaultMaxBytes): number {
  return 128 + Math.ceil((64 * maxBytes) / 1_048_576);
}

interface Task {
  readonly hasPackages: boolean;
  readonly raw: RawPolicy;
  readonly options: ThreadReaderOptions;
}

type Answer =
  | { readonly parts: Uint8Array[] }
  | { readonly problems: readonly Problem[]; readonly transient: boolean };

/** Sent by the thread: asks for the packages of the policy that it reads. */
interface Request {
  readonly entries: Entries;
}

/** Sent to the thread; `message` = another failure. */
type Packages =
  | { readonly found: ReadonlyMap<string, Package> }
  | { readonly problems: readonly PackageProblem[] }
  | { readonly message: string };

/** @returns a reader with the results of `here`, which reads large documents in a thread */
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
  { program, packages, limitMs = 30_000, limitMiB, ...options }: Omit<ReadingThreadOptions, "here">,
  signal: AbortSignal | undefined,
): Promise<EffectivePolicy> {
  signal?.throwIfAborted();
  const maxMiB = limitMiB ?? mebibytesFor(options.maxBytes);
  const isText = typeof program === "function";
  const worker = new Worker(isText ? program() : program, {
    name: "policy",
    eval: isText,
    workerData: { raw, options, hasPackages: packages !== undefined } satisfies Task,
    // The thread gets neither this process's secrets nor its arguments.
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: maxMiB, maxYoungGenerationSizeMb: 16 },
  });
  const ended = new AbortController();
  let found: ReadonlyMap<string, Package> = new Map();
  if (packages !== undefined) {
    const find: FindPackages = async (entries) => (found = await packages(entries, ended.signal));
    worker.on("message", (message: Answer | Request) => {
      if ("entries" in message) void answerRequest(worker, message, find);
    });
  }
  let parts: Uint8Array[];
  try {
    parts = await answerOf(worker, { limitMs, limitMiB: maxMiB }, signal);
  } finally {
    ended.abort();
    await worker.terminate();
  }
  const policy = await unpack(parts);
  const extensions = policy.extensions.map((each) => ({ ...each, package: found.get(each.name) as Package }));
  return { ...policy, extensions };
}

/** Waits for the thread's answer. Rejects with PolicyRefused, or with the signal's reason. */
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
  worker.on("message", (message: Answer | Request) => {
    if (!("entries" in message)) resolve(message);
  });
  worker.once("error", (error: NodeJS.ErrnoException) => {
    const isFull = error.code === "ERR_WORKER_OUT_OF_MEMORY";
    reject(isFull ? new ReadingCutShort(`takes more than ${limitMiB} MiB of memory to read`) : error);
  });
  worker.once("exit", () => reject(new Error("the thread that read the policy ended")));
  try {
    const answer = await promise;
    if ("parts" in answer) return answer.parts;
    throw answer.transient ? new ReadingCutShort(answer.problems) : new PolicyRefused(answer.problems);
  } finally {
    clearTimeout(limit);
    signal?.removeEventListener("abort", abort);
  }
}

/** @returns the packages without their bytes, which no reading needs and which are large */
function withoutBytes(packages: ReadonlyMap<string, Package>): Map<string, Package> {
  return new Map([...packages].map(([name, each]) => [name, { ...each, bytes: Buffer.alloc(0) }]));
}

/** Gets the packages that the thread asks for and sends them to it. Never rejects. */
async function answerRequest(worker: Worker, { entries }: Request, find: FindPackages): Promise<void> {
  let answer: Packages;
  try {
    answer = { found: withoutBytes(await find(entries)) };
  } catch (error) {
    answer = error instanceof PackagesRefused ? { problems: error.problems } : { message: textOf(error) };
  }
  worker.postMessage(answer, []);
}

/** The thread's whole program: reads the policy and posts the answer. */
export async function readInThisThread(plugins: PolicyPlugins): Promise<void> {
  if (isMainThread || parentPort === null) throw new Error("this is for a thread");
  const port = parentPort;
  const { raw, options, hasPackages } = workerData as Task;
  const packages = hasPackages ? packagesBy(port) : undefined;
  const read = await createPolicyReader({ plugins, packages, ...options });
  try {
    const parts = pack(await read(raw));
    port.postMessage(
      { parts } satisfies Answer,
      parts.map(({ buffer }) => buffer),
    );
  } catch (error) {
    if (!(error instanceof PolicyRefused)) throw error;
    const transient = error instanceof ReadingCutShort;
    port.postMessage({ problems: error.problems, transient } satisfies Answer, []);
  }
}

/** Asks the parent thread for packages. The parent ends this thread when the answer takes too long. */
function packagesBy(port: MessagePort): FindPackages {
  return async (entries) => {
    const answered = once(port, "message");
    port.postMessage({ entries } satisfies Request);
    const [answer] = (await answered) as [Packages];
    if ("found" in answer) return answer.found;
    if ("problems" in answer) throw new PackagesRefused(answer.problems);
    throw new Error(answer.message);
  };
}
