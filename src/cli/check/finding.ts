// What `outrigger check` says of one thing.
import type { CheckFinding } from "../../plugin-api/checks.ts";

/** What is said of one thing; several where several things are wrong with it. */
export interface Check {
  ok(message: string): CheckFinding;
  warn(message: string, advice: string): CheckFinding;
  fail(message: string, advice: string): CheckFinding;
}

/** @param name for ever the same: programs look for it */
export function checkOf(name: string): Check {
  return {
    ok: (message) => ({ name, state: "ok", message }),
    warn: (message, advice) => ({ name, state: "warn", message, advice }),
    fail: (message, advice) => ({ name, state: "fail", message, advice }),
  };
}
