// Guests in isolates of V8 (isolated-vm) on this very thread: a call costs no switch of threads, and one that takes too
// long is stopped. What an isolate's own memory limit does not count is bounded elsewhere: the guest's memory in its
// module, JavaScript objects by there being no JavaScript but ours.
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

/** Megabytes of an isolate's own heap: fields, bodies, shared data. */
const heapMiB = 128;

/** The package, or its native module beside the program where that is one file. @throws Error when there is none */
function loadLibrary(): typeof ivm {
  // What lies beside it may be anybody's: the folder can be one that others write to.
  if (isSingleExecutable) throw new Error("the single executable has no native code");
  const requireHere = createRequire(import.meta.url);
  if (!import.meta.url.endsWith(".cjs")) return requireHere("isolated-vm") as typeof ivm;
  return (requireHere("./isolated-vm.node") as { readonly ivm: typeof ivm }).ivm;
}

let endsAtOnce = false;

/**
 * Once nothing is left to do and 'exit' is told, Node takes its environment down, and finalizers of isolated-vm that run
 * after that abort the process now and then (`environment != nullptr`): it ends before instead, with the same exit code.
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
  // On a thread of isolated-vm: a large module is compiled while this one serves.
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
  /** Less than that, and it was not the guest that took the time. */
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
      // The limit is one of the wall's clock. On a machine, or within a quota, that has no time for this process it passes
      // without the guest.
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
    // What it had stays known.
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
