// What a plugin looks at for `outrigger check`: whether what it needs is there, and will still be there in two weeks.
import type { Store } from "./store.ts";

export interface CheckFinding {
  /** What was looked at, in the words of settings and commands; a plugin's are shown behind its name and a slash. */
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  readonly message: string;
  /** What to do about it; absent = nothing. */
  readonly advice?: string;
}

export interface CheckContext {
  /** `OUTRIGGER_SERVICE` */
  readonly service: string;
  /** Epoch milliseconds. */
  readonly nowMs: number;
  /** A secret that the definition declares. */
  secret(name: string): string | undefined;
  /** The keys that the definition declares; absent without `REDIS_URL`, or while Redis cannot be used, which is told elsewhere. */
  readonly store: Store | undefined;
}
