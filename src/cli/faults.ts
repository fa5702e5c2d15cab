// Faults that nobody caught: told and counted each time; they end the process only when its state is unknown.

export type FaultKind = "uncaughtException" | "unhandledRejection";

/** Logs a fault with its stack and counts it. @param plugin in whose work it happened, where that is known */
export type ReportFault = (kind: FaultKind, error: unknown, plugin?: string) => void;

const maxExceptions = 10;
const withinMs = 60_000;

/**
 * An exception that nobody caught left one callback half done: one exchange may hang, the rest goes on. Node's own
 * state is in doubt when one of its assertions failed, and ours when exceptions come in bursts. A rejection that
 * nobody awaited ended its work in an orderly way.
 */
export class FaultJudge {
  readonly #recent: number[] = [];

  /**
   * @param nowMs on a clock that only goes forward
   * @param ofPlugin what threw is a plugin's: its own work is in doubt and nobody else's, however often it throws
   * @returns whether the process has to end
   */
  isFatal(kind: FaultKind, error: unknown, nowMs: number, ofPlugin = false): boolean {
    if (kind === "unhandledRejection") return false;
    if (error instanceof Error && "code" in error && error.code === "ERR_INTERNAL_ASSERTION") return true;
    if (ofPlugin) return false;
    this.#recent.push(nowMs);
    while ((this.#recent[0] as number) <= nowMs - withinMs) this.#recent.shift();
    return this.#recent.length > maxExceptions;
  }
}
