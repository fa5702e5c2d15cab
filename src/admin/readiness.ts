// Decides whether a process is ready, and says why not.
import { type Answer, textAnswer } from "./answer.ts";

/** One condition of readiness. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What is wrong, or worth knowing although it is ok. */
  readonly detail?: string;
}

/** @param verbose puts each condition on its own line */
export function readiness(checks: readonly Check[], verbose: boolean): Answer {
  const failed = checks.filter((check) => !check.ok);
  const status = failed.length === 0 ? 200 : 503;
  const summary = status === 200 ? "ready" : `not ready: ${failed.map((check) => check.name).join(", ")}`;
  if (!verbose) return textAnswer(status, summary);
  const lines = checks.map(
    ({ name, ok, detail }) => `[${ok ? "+" : "-"}] ${name}${detail === undefined ? "" : `: ${detail}`}`,
  );
  return textAnswer(status, [...lines, summary].join("\n"));
}
