// Makes the findings of `outrigger check`.
import type { CheckFinding } from "../../plugin-api/checks.ts";

/** Makes findings about one thing: several when several things are wrong with it. */
export interface Check {
  ok(message: string): CheckFinding;
  warn(message: string, advice: string): CheckFinding;
  fail(message: string, advice: string): CheckFinding;
}

/** @param name must never change: programs look for it */
export function checkOf(name: string): Check {
  return {
    ok: (message) => ({ name, state: "ok", message }),
    warn: (message, advice) => ({ name, state: "warn", message, advice }),
    fail: (message, advice) => ({ name, state: "fail", message, advice }),
  };
}
