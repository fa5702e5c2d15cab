// What an exchange tells of its course while it goes on, for whoever asks later why it went so (`outrigger explain`).
import type { Exchange, HookTime, Outcome } from "../plugin-api/exchange.ts";
import type { FieldChange, Fields } from "../plugin-api/fields.ts";
import type { Phase } from "./hook-measures.ts";

/** How a hook came out, where no answer says more: it `threw` an error that is an answer, or one that is its fault. */
export type HookEnd = "returned" | "threw" | "failed" | "left-out";

/** A fact: a name and its value. */
export type Fact = string | number;

export interface LiveRecord {
  /** Changed fields and facts are kept, too; else telling them would be in vain. */
  readonly isWhole: boolean;
  hookRan(plugin: string, phase: Phase, ms: number, end: HookEnd): void;
  /** Those that ran so far. */
  hookTimes(): readonly HookTime[];
  /** By the hook that ends next. */
  fieldChanged(change: FieldChange, name: string): void;
  /** Likewise. @param facts name, value, name, value … */
  explain(facts: readonly Fact[]): void;
  /** The service is asked, once more where it was before. */
  asked(nowMono: number): void;
  /** Nothing is told after this. */
  ended(exchange: EndedExchange, outcome: Outcome): void;
}

/** An exchange at its end. */
export interface EndedExchange extends Exchange {
  /** How many plugins of the chain had their request phase. */
  readonly reached: number;
}

/** An exchange whose heads somebody wants to see. */
export interface TappedExchange {
  /** The response leaves for the client. */
  answered(status: number, fields: Fields): void;
  ended(exchange: Exchange, outcome: Outcome): void;
}

/** Who looks on. */
export interface ExchangeTaps {
  /** Whether anybody does. */
  readonly active: boolean;
  /** @returns undefined when nobody wants to see this one */
  begin(exchange: Exchange): TappedExchange | undefined;
}

export interface ExchangeRecorder {
  /** @param plugins of the route @param digest of the policy @param nowMono on the monotonic clock */
  begin(plugins: readonly string[], digest: string, nowMono: number): LiveRecord;
}
