// Guests in threads of their own: no native code, each call a message there and back. For platforms that isolated-vm is
// not built for. A thread is no boundary for JavaScript; here there is none in it but ours, and a guest reaches nothing
// but what it imports.
import { randomBytes } from "node:crypto";
import { Worker } from "node:worker_threads";
import {
  type Guest,
  type GuestAnswer,
  GuestFailure,
  type GuestHost,
  type GuestLimits,
  hooks,
} from "./guest-host.ts";
import type { GuestFacts } from "./shim/state.ts";
import { monoMs, type ThreadCall, threadProgram, type ThreadTask } from "./thread-program.ts";

/** Megabytes of a thread's own heap: fields, bodies, shared data. */
const heapMiB = 128;

/** How many times a guest gets its time anew, on a machine that has none for this thread either. */
const maxLateLooks = 3;

export function threadHost(): GuestHost {
  return {
    name: "thread",
    async load(module, facts, limits) {
      const guest = new ThreadGuest(module, facts, limits);
      try {
        return { guest, started: await guest.started };
      } catch (error) {
        guest.dispose();
        throw error;
      }
    },
  };
}

interface Waiting {
  readonly resolve: (answer: GuestAnswer) => void;
  readonly reject: (error: GuestFailure) => void;
  readonly limitMs: number;
}

class ThreadGuest implements Guest {
  alive = true;
  readonly cpuMs = undefined;
  readonly memoryBytes = undefined;
  /** What its start came to. */
  readonly started: Promise<GuestAnswer>;
  readonly #worker: Worker;
  readonly #limits: GuestLimits;
  /** When the call that runs began, by `monoMs`; 0 = none runs. */
  readonly #began = new Float64Array(new SharedArrayBuffer(8));
  /** In the order in which they are answered. */
  readonly #waiting: Waiting[] = [];
  #unsent: ThreadCall[] = [];
  #watch: NodeJS.Timeout | undefined;
  #watchMs = 0;
  #watchDue = 0;
  /** Looks in a row that came late themselves. */
  #lateLooks = 0;
  #isLate = false;

  constructor(module: Buffer, facts: GuestFacts, limits: GuestLimits) {
    this.#limits = limits;
    const key = randomBytes(32).toString("latin1");
    this.#worker = new Worker(threadProgram, {
      eval: true,
      name: "wasm",
      workerData: {
        module: Uint8Array.from(module),
        facts: JSON.stringify(facts),
        key,
        began: this.#began,
      } satisfies ThreadTask,
      // Neither secrets nor what this process was started with is for it; nor are this process's streams.
      env: {},
      execArgv: [],
      stdin: false,
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: heapMiB, maxYoungGenerationSizeMb: 16 },
    });
    this.#worker.on("message", (answer: GuestAnswer) => this.#take(answer));
    this.#worker.once("error", (error: NodeJS.ErrnoException) => this.#fail(reasonOf(error)));
    this.#worker.once("exit", () => this.#fail(this.#isLate ? "it took too long" : "its thread ended"));
    // Last: to listen for messages keeps the process alive again. While a call runs, its timer does.
    this.#worker.unref();
    this.started = this.#wait(limits.startMs);
    // Whoever loads it hears of it.
    this.started.catch(() => {});
  }

  call(hook: number, context: number, number: number, text: string, more: string): Promise<GuestAnswer> {
    return this.#send([hook, context, number, text, more], this.#limits.timeMs);
  }

  configure(context: number, configuration: string): Promise<GuestAnswer> {
    return this.#send([hooks.configure, context, 0, configuration, ""], this.#limits.startMs);
  }

  dispose(): void {
    this.#end("it was ended", false);
  }

  #send(call: ThreadCall, limitMs: number): Promise<GuestAnswer> {
    if (!this.alive || this.#isLate)
      return Promise.reject(new GuestFailure("it was ended", { began: false }));
    // All calls of a turn of the event loop are one message.
    if (this.#unsent.push(call) === 1) setImmediate(() => this.#flush());
    return this.#wait(limitMs);
  }

  #flush(): void {
    const calls = this.#unsent;
    this.#unsent = [];
    if (this.alive && calls.length > 0) this.#worker.postMessage(calls, []);
  }

  #wait(limitMs: number): Promise<GuestAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<GuestAnswer>();
    this.#waiting.push({ resolve, reject, limitMs });
    // A start's timer may be under way, which comes too late for what follows it.
    if (this.#watch === undefined || limitMs < this.#watchMs) this.#lookIn(limitMs);
    return promise;
  }

  #take(answer: GuestAnswer): void {
    this.#lateLooks = 0;
    this.#waiting.shift()?.resolve(answer);
    // Nothing more is asked of a guest that failed.
    if (typeof answer === "string" && answer.startsWith("!")) this.#end("it failed", false);
  }

  /** One timer for all calls: it sees how long the one that runs has been running. */
  #look(): void {
    this.#watch = undefined;
    const running = this.#waiting[0];
    if (!this.alive || running === undefined) return;
    const [began = 0] = this.#began;
    // Not begun yet: the thread has not got to it.
    const leftMs = began === 0 ? running.limitMs : began + running.limitMs - monoMs();
    if (leftMs > 0) {
      this.#lookIn(Math.ceil(leftMs));
      return;
    }
    // A machine that is busy, or a quota that is used up, stops the guest's thread as well as this one: it may go on.
    const isBusy = monoMs() - this.#watchDue > running.limitMs / 2;
    this.#lateLooks += 1;
    if (isBusy && this.#lateLooks <= maxLateLooks) {
      this.#lookIn(running.limitMs);
      return;
    }
    // What it answered before is on its way still, and comes before `exit`.
    this.#isLate = true;
    void this.#worker.terminate();
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#watch);
    this.#watchMs = ms;
    this.#watchDue = monoMs() + ms;
    this.#watch = setTimeout(() => this.#look(), ms);
  }

  /** The call that runs ended it. */
  #fail(reason: string): void {
    this.#end(reason, true);
  }

  /** @param byCall whether it was the call that runs: the others can be made again elsewhere */
  #end(reason: string, byCall: boolean): void {
    if (!this.alive) return;
    this.alive = false;
    clearTimeout(this.#watch);
    this.#unsent = [];
    const waiting = this.#waiting.splice(0);
    if (byCall) waiting.shift()?.reject(new GuestFailure(reason));
    for (const { reject } of waiting) {
      reject(new GuestFailure(`the guest ended before it answered: ${reason}`, { began: false }));
    }
    void this.#worker.terminate();
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  return error.code === "ERR_WORKER_OUT_OF_MEMORY" ? "it took too much memory" : error.message;
}
