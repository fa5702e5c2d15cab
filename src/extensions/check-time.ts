// Bounds the CPU time that this thread spends on checks by schemas of others. Each schema has a small budget, so that a
// costly one cannot use up the time of the others, and all share one larger budget. Both refill slowly.
import { createContext, Script } from "node:vm";

/**
 * For all schemas together, in milliseconds of CPU. The first check of a process costs six before anything is compiled.
 */
const sharedMs = 30;
/** For each schema. An ordinary check takes a hundredth of a millisecond; one of a thousand properties takes four. */
const ownMs = 5;
/** For all schemas in one turn of the event loop, whatever their budgets allow: requests wait no longer than this. */
const turnMs = 35;
/** Milliseconds that a budget regains per millisecond. */
const sharedRate = 0.05;
const ownRate = 0.001;
/** Equal to the most extensions of a policy. */
const maxSchemas = 64;
/** Bound on the options whose results are cached, per schema. */
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

  /** @returns the part of `ms` that the allowance did not cover */
  spend(ms: number): number {
    const spent = Math.min(this.left, ms);
    this.#left -= spent;
    return ms - spent;
  }
}

/** What is left of the current turn's time. */
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

/** The time budget of one schema, and its cached results, shared by all policies and routes with that schema. */
export class CheckTime {
  readonly #own = new Allowance(ownMs, ownRate);
  readonly #known = new Map<string, unknown>();
  #knownCharacters = 0;

  static of(schema: string): CheckTime {
    const found = bySchema.get(schema) ?? new CheckTime();
    // Moves the entry to the end: the least recently used one is evicted first.
    bySchema.delete(schema);
    bySchema.set(schema, found);
    for (const [oldest] of bySchema) if (bySchema.size > maxSchemas) bySchema.delete(oldest);
    return found;
  }

  /** @throws Error as the work does, or when it takes longer than the time left; the work is then stopped */
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
        // The time limit passed, but this thread used little CPU: the machine was busy, so try again.
        if (!(error instanceof TooLong) || spentMs > leftMs / 2 || tries === maxTries) throw error;
      } finally {
        spentMs ||= millisecondsSince(before);
        shared.spend(this.#own.spend(spentMs));
        turn.spend(spentMs);
      }
    }
  }

  /** Like `run`, but only once for equal values. @param value JSON data */
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
    // V8 applies this time limit within regular expressions, too.
    return script.runInContext(context, { timeout }) as Result;
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT" ? late() : error;
  } finally {
    context.work = undefined;
  }
}
