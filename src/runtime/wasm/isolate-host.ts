// Runs guests in isolates of V8 (isolated-vm) on this same thread: a call needs no thread switch, and one that takes
// too long is stopped. The isolate's own memory limit does not count everything. The guest's memory is limited in its
// module. JavaScript objects need no limit, because only the sidecar's own JavaScript runs there.
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import type ivm from "isolated-vm";
import {
  type Guest,
  type GuestAnswer,
  GuestFailure,
  type GuestHost,
  type GuestLimits,
  hooks,
} from "./guest-host.ts";
import { isSingleExecutable } from "../../v8/single-executable.ts";
import { shimText } from "./shim-text.ts";
import type { GuestFacts } from "./shim/state.ts";

type Invoke = (hook: number, context: number, number: number, text: string, more: string) => GuestAnswer;

/** Limit of an isolate's own heap: fields, bodies, shared data. */
const heapMiB = 128;

/**
 * Loads the package. Where the program is one file, loads its native module beside that file.
 * @throws Error when there is none
 */
function loadLibrary(): typeof ivm {
  // The folder of a single executable may be writable by others, so nothing beside it can be trusted.
  if (isSingleExecutable) throw new Error("the single executable has no native code");
  const requireHere = createRequire(import.meta.url);
  if (!import.meta.url.endsWith(".cjs")) return requireHere("isolated-vm") as typeof ivm;
  return (requireHere("./isolated-vm.node") as { readonly ivm: typeof ivm }).ivm;
}

let endsAtOnce = false;

/**
 * After 'exit' Node tears down its environment. Finalizers of isolated-vm that run after that sometimes abort the
 * process (`environment != nullptr`). So the process ends in the 'exit' handler, with the same exit code.
 */
function endAtOnce(): void {
  if (!endsAtOnce) process.once("exit", () => process.exit());
  endsAtOnce = true;
}

/** @throws Error when isolated-vm is not installed, or not for this platform */
export function isolateHost(): GuestHost {
  const library = loadLibrary();
  endAtOnce();
  return {
    name: "isolate",
    async load(module, facts, limits) {
      const isolate = new library.Isolate({ memoryLimit: heapMiB });
      try {
        return await start(library, isolate, module, facts, limits);
      } catch (error) {
        dispose(isolate);
        throw failure(error);
      }
    },
  };
}

async function start(
  library: typeof ivm,
  isolate: ivm.Isolate,
  module: Buffer,
  facts: GuestFacts,
  { timeMs, startMs }: GuestLimits,
): Promise<{ guest: Guest; started: GuestAnswer }> {
  const context = await isolate.createContext();
  const bytes = new library.ExternalCopy(Uint8Array.from(module).buffer);
  // Runs on a thread of isolated-vm: this thread goes on serving while a large module compiles.
  const program = await context.evalClosure(
    `const [module, facts, key] = [$0, $1, $2];\n${shimText}\nreturn { started, invoke };`,
    [bytes.copyInto({ release: true }), JSON.stringify(facts), randomBytes(32).toString("latin1")],
    { timeout: startMs, result: { reference: true } },
  );
  const started = (await program.get("started", { copy: true })) as GuestAnswer;
  const invoke = (await program.get("invoke", { reference: true })) as ivm.Reference<Invoke>;
  program.release();
  return { guest: new IsolateGuest(isolate, invoke, timeMs, startMs), started };
}

class IsolateGuest implements Guest {
  alive = true;
  readonly #isolate: ivm.Isolate;
  readonly #invoke: ivm.Reference<Invoke>;
  readonly #limit: { readonly timeout: number };
  /** With less CPU time than this, in nanoseconds, the guest did not use up the time limit itself. */
  readonly #leastNs: bigint;
  readonly #startMs: number;
  #cpuMs = 0;

  constructor(isolate: ivm.Isolate, invoke: ivm.Reference<Invoke>, timeMs: number, startMs: number) {
    this.#isolate = isolate;
    this.#invoke = invoke;
    this.#limit = { timeout: timeMs };
    this.#leastNs = BigInt(Math.floor(timeMs * 500_000));
    this.#startMs = startMs;
  }

  get cpuMs(): number {
    if (this.alive) this.#cpuMs = Number(this.#isolate.cpuTime) / 1e6;
    return this.#cpuMs;
  }

  get memoryBytes(): number | undefined {
    if (!this.alive) return undefined;
    const { total_heap_size: heap, externally_allocated_size: external } =
      this.#isolate.getHeapStatisticsSync();
    return heap + external;
  }

  call(hook: number, context: number, number: number, text: string, more: string): GuestAnswer {
    if (!this.alive) throw new GuestFailure("it was ended", { began: false });
    const before = this.#isolate.cpuTime;
    try {
      return this.#checked(
        this.#invoke.applySync(undefined, [hook, context, number, text, more], this.#limit),
      );
    } catch (error) {
      const isStarved = isTimeout(error) && this.#isolate.cpuTime - before < this.#leastNs;
      this.dispose();
      // The time limit is wall-clock time. If the machine or a CPU quota leaves no time for this process, the limit
      // passes while the guest does not run.
      if (isStarved) throw new GuestFailure("the machine had no time for it", { began: false, cause: error });
      throw failure(error);
    }
  }

  async configure(context: number, configuration: string): Promise<GuestAnswer> {
    if (!this.alive) throw new GuestFailure("it was ended", { began: false });
    try {
      const input: Parameters<Invoke> = [hooks.configure, context, 0, configuration, ""];
      return this.#checked(await this.#invoke.apply(undefined, input, { timeout: this.#startMs }));
    } catch (error) {
      this.dispose();
      throw failure(error);
    }
  }

  dispose(): void {
    // Reads the CPU time once more, so that it stays known.
    void this.cpuMs;
    this.alive = false;
    dispose(this.#isolate);
  }

  #checked(answer: unknown): GuestAnswer {
    if (typeof answer !== "string" && typeof answer !== "number") throw new Error("it gave no answer");
    return answer;
  }
}

function dispose(isolate: ivm.Isolate): void {
  if (!isolate.isDisposed) isolate.dispose();
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === "Script execution timed out.";
}

function failure(error: unknown): GuestFailure {
  if (error instanceof GuestFailure) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new GuestFailure(isTimeout(error) ? "it took too long" : reason, { cause: error });
}
