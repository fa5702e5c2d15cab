// Judges faults that nothing caught. Each is logged and counted, but ends the process only when its state is in doubt.

export type FaultKind = "uncaughtException" | "unhandledRejection";

/** Logs a fault with its stack and counts it. @param plugin name of the plugin at fault, if known */
export type ReportFault = (kind: FaultKind, error: unknown, plugin?: string) => void;

const maxExceptions = 10;
const withinMs = 60_000;

/**
 * Decides whether a fault must end the process. An uncaught exception leaves one callback half done: one exchange may
 * hang, the rest goes on. Node's own state is in doubt when one of its assertions failed, and this program's when
 * exceptions come in bursts. An unhandled rejection ended its work in an orderly way.
 */
export class FaultJudge {
  readonly #recent: number[] = [];

  /**
   * @param nowMs on a monotonic clock
   * @param ofPlugin whether a plugin threw: then only its own work is in doubt, however often it throws
   * @returns whether the process must end
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
