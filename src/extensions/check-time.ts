// The time of this thread that checks by schemas of others may take: a little for each schema, so that a costly one does
// not take all from the others, and one larger sum for all of them together. What was spent comes back slowly.
import { createContext, Script } from "node:vm";

/** Of all schemas together, in milliseconds of CPU. The first of a process costs six, before anything is compiled. */
const sharedMs = 30;
/** Of each schema by itself. What an ordinary check takes is a hundredth of a millisecond; a thousand properties, four. */
const ownMs = 5;
/** Of all schemas in one turn of the event loop, whatever is left to them: requests wait no longer. */
const turnMs = 35;
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

/** What is left of this turn's time. */
const turn = {
  left: turnMs,
  ends: undefined as NodeJS.Immediate | undefined,
  spend(ms: number): void {
    this.left -= ms;
    this.ends ??= setImmediate(() => {
      this.left = turnMs;
      this.ends = undefined;
    });
  },
};

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
    for (let tries = 1; ; tries += 1) {
      const leftMs = Math.floor(Math.min(this.#own.left + shared.left, turn.left));
      if (leftMs < 1) throw late();
      const before = process.threadCpuUsage();
      let spentMs = 0;
      try {
        return inTime(work, leftMs);
      } catch (error) {
        spentMs = millisecondsSince(before);
        // The clock ran out, and hardly any of that was the work's: the machine was busy.
        if (!(error instanceof TooLong) || spentMs > leftMs / 2 || tries === maxTries) throw error;
      } finally {
        spentMs ||= millisecondsSince(before);
        shared.spend(this.#own.spend(spentMs));
        turn.spend(spentMs);
      }
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

class TooLong extends Error {}

const late = (): Error =>
  new TooLong(
    `takes longer than ${sharedMs} ms, which the checks of all packages have together: fewer properties, patterns and references cost less`,
  );

const maxTries = 8;

function millisecondsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}

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
