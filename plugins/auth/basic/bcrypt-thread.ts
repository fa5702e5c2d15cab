// Checks passwords by bcrypt in a separate thread: Node has no bcrypt, and bcryptjs would block the event loop for
// tenths of a second. One thread per process checks one password after the other, and ends when idle.
import { extname } from "node:path";
import { getAsset, isSea } from "node:sea";
import { Worker } from "node:worker_threads";

export interface BcryptTask {
  readonly password: string;
  readonly hash: string;
}
interface Waiting extends BcryptTask {
  readonly resolve: (matches: boolean) => void;
  readonly reject: (error: Error) => void;
}

export interface BcryptThreadOptions {
  /** The thread's program, as a file or its text. */
  readonly program?: URL | (() => string);
  readonly limitMs?: number;
  readonly idleMs?: number;
}

/** Limit for all routes together. Each route has its own queue in front of this one (semaphore.ts). */
const maxQueue = 16;

const programHere: URL | (() => string) = isSea()
  ? () => getAsset("bcrypt-program.cjs", "utf8")
  : new URL(`bcrypt-program${extname(import.meta.url)}`, import.meta.url);

export class BcryptThread {
  readonly #program: URL | (() => string);
  readonly #limitMs: number;
  readonly #idleMs: number;
  #worker: Worker | undefined;
  /** The first entry is being checked. */
  #queue: Waiting[] = [];
  /** The time limit of the running check, or of the idle thread. */
  #timer: NodeJS.Timeout | undefined;

  constructor({ program = programHere, limitMs = 10_000, idleMs = 60_000 }: BcryptThreadOptions = {}) {
    this.#program = program;
    this.#limitMs = limitMs;
    this.#idleMs = idleMs;
  }

  /** @returns undefined when the queue is full. Rejects when the password cannot be checked. */
  matches(task: BcryptTask): Promise<boolean | undefined> {
    if (this.#queue.length >= maxQueue) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...task, resolve, reject });
      if (this.#queue.length === 1) this.#next();
    });
  }

  close(): void {
    this.#end();
    for (const { reject } of this.#queue.splice(0)) reject(new Error("the thread for bcrypt was ended"));
  }

  #next(): void {
    clearTimeout(this.#timer);
    const [first] = this.#queue;
    if (first === undefined) {
      this.#timer = setTimeout(() => this.#end(), this.#idleMs);
      this.#timer.unref();
      return;
    }
    try {
      this.#worker ??= this.#start();
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    const { password, hash } = first;
    this.#worker.postMessage({ password, hash } satisfies BcryptTask, []);
    const late = new Error(`the thread for bcrypt took longer than ${this.#limitMs} ms`);
    this.#timer = setTimeout(() => this.#fail(late), this.#limitMs);
  }

  #start(): Worker {
    const isText = typeof this.#program === "function";
    const worker = new Worker(isText ? this.#program() : this.#program, {
      name: "bcrypt",
      eval: isText,
      // The thread gets neither secrets nor the arguments of this process.
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
    });
    worker.on("message", (matches: boolean) => {
      this.#queue.shift()?.resolve(matches);
      this.#next();
    });
    const failed = (error: Error): void => {
      if (worker === this.#worker) this.#fail(error);
    };
    worker.once("error", failed);
    worker.once("exit", () => failed(new Error("the thread for bcrypt ended")));
    worker.unref();
    return worker;
  }

  /** Fails the running check. The others go on in a new thread. */
  #fail(error: Error): void {
    this.#end();
    this.#queue.shift()?.reject(error);
    this.#next();
  }

  #end(): void {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.removeAllListeners("message");
    void worker?.terminate();
  }
}
