// Defines a plugin's part of `outrigger check`: it tells whether what the plugin needs is there, and whether it will
// still be there in two weeks.
import type { Store } from "./store.ts";

export interface CheckFinding {
  /**
   * What was checked, in the words of settings and commands. The output shows a plugin's name and a slash in front of
   * it.
   */
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  readonly message: string;
  /** What the operator should do; absent = nothing. */
  readonly advice?: string;
}

export interface CheckContext {
  /** `OUTRIGGER_SERVICE` */
  readonly service: string;
  /** Epoch milliseconds. */
  readonly nowMs: number;
  /** A secret that the definition declares. */
  secret(name: string): string | undefined;
  /**
   * Store limited to the keys that the definition declares. Absent without `REDIS_URL`, and while Redis cannot be used;
   * another check reports that.
   */
  readonly store: Store | undefined;
}
