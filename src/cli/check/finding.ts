// What `outrigger check` says of one thing.

export type State = "ok" | "warn" | "fail";

export interface CheckFinding {
  /** What was looked at: for ever the same name. */
  readonly name: string;
  readonly state: State;
  readonly message: string;
  /** What to do about it; absent = nothing. */
  readonly advice?: string;
}

/** What is said of one thing; several where several things are wrong with it. */
export interface Check {
  ok(message: string): CheckFinding;
  warn(message: string, advice: string): CheckFinding;
  fail(message: string, advice: string): CheckFinding;
}

export function checkOf(name: string): Check {
  return {
    ok: (message) => ({ name, state: "ok", message }),
    warn: (message, advice) => ({ name, state: "warn", message, advice }),
    fail: (message, advice) => ({ name, state: "fail", message, advice }),
  };
}
