// Runs watchers of policies in processes of their own: starts them, waits until a policy is in force everywhere,
// freezes and ends them.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Start parameters of one process of watchers. */
export interface WatchersTask {
  readonly url: string;
  readonly count: number;
  /** Number of the first watcher; a watcher's service is its number modulo `services`. */
  readonly first: number;
  readonly services: number;
}

/**
 * Messages of such a process: all its watchers receive changes, or each of them has put this document in force (epoch
 * ms).
 */
export type WatchersNews =
  | { readonly kind: "ready" }
  | { readonly kind: "in force"; readonly mark: string; readonly atMs: readonly number[] };

const perProcess = 250;
const startLimitMs = 60_000;
const changeLimitMs = 20_000;

export class Crew {
  readonly #children: ChildProcess[];
  readonly #inForce = new Map<string, number[]>();
  readonly #count: number;

  private constructor(children: ChildProcess[], count: number) {
    this.#children = children;
    this.#count = count;
    for (const child of children)
      child.on("message", (news: WatchersNews) => {
        if (news.kind !== "in force") return;
        this.#inForce.set(news.mark, [...(this.#inForce.get(news.mark) ?? []), ...news.atMs]);
      });
  }

  static async start(url: string, count: number, services: number): Promise<Crew> {
    const children: ChildProcess[] = [];
    for (let first = 0; first < count; first += perProcess) {
      const task: WatchersTask = { url, count: Math.min(perProcess, count - first), first, services };
      children.push(fork(join(import.meta.dirname, "fleet-watchers.ts"), [JSON.stringify(task)]));
    }
    await Promise.all(
      children.map((child) => once(child, "message", { signal: AbortSignal.timeout(startLimitMs) })),
    );
    return new Crew(children, count);
  }

  /** @returns the times at which each watcher had it in force, sorted; epoch ms */
  async untilInForce(mark: string): Promise<number[]> {
    const endAt = performance.now() + changeLimitMs;
    for (;;) {
      const times = this.#inForce.get(mark) ?? [];
      if (times.length >= this.#count) return times.toSorted((a, b) => a - b);
      if (performance.now() > endAt)
        throw new Error(`${mark} is in force in ${times.length} of ${this.#count}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** CPU of all watchers since their start, in ms. */
  get cpuMs(): number {
    return this.#children.map(({ pid }) => cpuMsOf(Number(pid))).reduce((sum, ms) => sum + ms, 0);
  }

  /** Stops the processes: their connections stay open, and send nothing. */
  freeze(): void {
    for (const child of this.#children) child.kill("SIGSTOP");
  }

  async end(): Promise<void> {
    const ends = this.#children.map((child) => once(child, "exit"));
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(ends);
  }
}

function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop()?.split(" ") ?? [];
  // utime and stime, in hundredths of a second.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
