// The time of this thread that checks by schemas of others may take: a little for each schema, so that a costly one does
// not take all from the others, and one larger sum for all of them together. What was spent comes back slowly.
import { createContext, Script } from "node:vm";

/** Of all schemas together, in milliseconds; a busy machine gets some slack. */
const sharedMs = 500;
/** Of each schema by itself. What an ordinary check takes is a hundredth of a millisecond. */
const ownMs = 10;
/** How much comes back in each millisecond. */
const sharedRate = 0.05;
const ownRate = 0.001;
/** As many as a policy may have extensions. */
const maxSchemas = 64;
/** Of the options whose results are remembered, for each schema. */
const maxKnownCharacters = 131_072;

class Allowance {
  readonly #most: number;
  readonly #rate: number;
  #left: number;
  #at = performance.now();

  constructor(most: number, rate: number) {
    this.#most = most;
    this.#left = most;
    this.#rate = rate;
  }

  get left(): number {
    const now = performance.now();
    this.#left = Math.min(this.#most, this.#left + (now - this.#at) * this.#rate);
    this.#at = now;
    return this.#left;
  }

  /** @returns what it did not have */
  spend(ms: number): number {
    const spent = Math.min(this.left, ms);
    this.#left -= spent;
    return ms - spent;
  }
}

const shared = new Allowance(sharedMs, sharedRate);
const bySchema = new Map<string, CheckTime>();

/** What one schema's checks may take, and what they found, whichever policies and routes have it. */
export class CheckTime {
  readonly #own = new Allowance(ownMs, ownRate);
  readonly #known = new Map<string, unknown>();
  #knownCharacters = 0;

  static of(schema: string): CheckTime {
    const found = bySchema.get(schema) ?? new CheckTime();
    // The one that was used last goes last.
    bySchema.delete(schema);
    bySchema.set(schema, found);
    for (const [oldest] of bySchema) if (bySchema.size > maxSchemas) bySchema.delete(oldest);
    return found;
  }

  /** @throws Error as the work does, or when it takes longer than is left; nothing of it runs on */
  run<Result>(work: () => Result): Result {
    const leftMs = Math.floor(this.#own.left + shared.left);
    if (leftMs < 1) throw late();
    const before = process.threadCpuUsage();
    try {
      return inTime(work, leftMs);
    } finally {
      const { user, system } = process.threadCpuUsage(before);
      shared.spend(this.#own.spend((user + system) / 1_000));
    }
  }

  /** As `run`, once for equal values. @param value as JSON has it */
  once<Result>(value: unknown, work: () => Result): Result {
    const text = JSON.stringify(value);
    if (this.#known.has(text)) return this.#known.get(text) as Result;
    const result = this.run(work);
    this.#knownCharacters += text.length;
    if (this.#knownCharacters <= maxKnownCharacters) this.#known.set(text, result);
    return result;
  }
}

const late = (): Error =>
  new Error(`takes longer than ${sharedMs} ms, which the checks of all packages have together`);

interface Shared {
  work: (() => unknown) | undefined;
}

let context: Shared | undefined;
const script = new Script("work()");

function inTime<Result>(work: () => Result, timeout: number): Result {
  context ??= createContext({ work: undefined }) as Shared;
  context.work = work;
  try {
    // V8 looks at such limits within regular expressions, too.
    return script.runInContext(context, { timeout }) as Result;
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT" ? late() : error;
  } finally {
    context.work = undefined;
  }
}
