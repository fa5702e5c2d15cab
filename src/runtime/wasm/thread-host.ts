// Runs guests in threads of their own, for platforms without isolated-vm: no native code, but each call costs a message
// there and back. A thread is no security boundary for JavaScript. Here only the sidecar's own JavaScript runs in it,
// and a guest reaches only what it imports.
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

/** Limit of a thread's own heap: fields, bodies, shared data. */
const heapMiB = 128;

/** How many times a guest's time limit starts again on a machine too busy to run this thread in time. */
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
  /** The answer of the guest's start. */
  readonly started: Promise<GuestAnswer>;
  readonly #worker: Worker;
  readonly #limits: GuestLimits;
  /** When the running call began, by `monoMs`; 0 = no call runs. */
  readonly #began = new Float64Array(new SharedArrayBuffer(8));
  /** In the order in which they are answered. */
  readonly #waiting: Waiting[] = [];
  #unsent: ThreadCall[] = [];
  #watch: NodeJS.Timeout | undefined;
  #watchMs = 0;
  #watchDue = 0;
  /** How many timer callbacks in a row found the limit exceeded. */
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
      // The thread must not get this process's environment, arguments and streams: they may hold secrets.
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
    // `unref` comes last, because a message listener keeps the process alive again. While a call runs, its timer keeps
    // it alive.
    this.#worker.unref();
    this.started = this.#wait(limits.startMs);
    // The caller of `load` gets the rejection; without this handler it would also be unhandled.
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
    // All calls of one turn of the event loop go out in one message.
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
    // The timer of a start may be running; it would fire too late for this call.
    if (this.#watch === undefined || limitMs < this.#watchMs) this.#lookIn(limitMs);
    return promise;
  }

  #take(answer: GuestAnswer): void {
    this.#lateLooks = 0;
    this.#waiting.shift()?.resolve(answer);
    // A guest that failed gets no further calls.
    if (typeof answer === "string" && answer.startsWith("!")) this.#end("it failed", false);
  }

  /** Checks how long the running call has been running. One timer serves all calls. */
  #look(): void {
    this.#watch = undefined;
    const running = this.#waiting[0];
    if (!this.alive || running === undefined) return;
    const [began = 0] = this.#began;
    // The thread has not begun the call yet.
    const leftMs = began === 0 ? running.limitMs : began + running.limitMs - monoMs();
    if (leftMs > 0) {
      this.#lookIn(Math.ceil(leftMs));
      return;
    }
    // A busy machine or an exhausted CPU quota stops the guest's thread as well as this one, so the guest may go on.
    const isBusy = monoMs() - this.#watchDue > running.limitMs / 2;
    this.#lateLooks += 1;
    if (isBusy && this.#lateLooks <= maxLateLooks) {
      this.#lookIn(running.limitMs);
      return;
    }
    // Answers given before are still on their way, and arrive before `exit`.
    this.#isLate = true;
    void this.#worker.terminate();
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#watch);
    this.#watchMs = ms;
    this.#watchDue = monoMs() + ms;
    this.#watch = setTimeout(() => this.#look(), ms);
  }

  /** The running call ended the guest. */
  #fail(reason: string): void {
    this.#end(reason, true);
  }

  /** @param byCall whether the running call caused the end; the other calls can be made again in another guest */
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
