// Defines the record of the course of an exchange while it goes on, so that `outrigger explain` can tell later why it
// went that way.
import type { Exchange, HookTime, Outcome } from "../plugin-api/exchange.ts";
import type { FieldChange, Fields } from "../plugin-api/fields.ts";
import type { Phase } from "./hook-measures.ts";

/**
 * How a hook ended, where no answer says more. `threw` = it threw an error meant as an answer; `failed` = the plugin is
 * at fault.
 */
export type HookEnd = "returned" | "threw" | "failed" | "left-out";

/** A fact: a name and its value. */
export type Fact = string | number;

export interface LiveRecord {
  /** Whether changed fields and facts are kept too. If not, reporting them has no effect. */
  readonly isWhole: boolean;
  hookRan(plugin: string, phase: Phase, ms: number, end: HookEnd): void;
  /** Times of the hooks that ran so far. */
  hookTimes(): readonly HookTime[];
  /** A field was changed by the hook that ends next. */
  fieldChanged(change: FieldChange, name: string): void;
  /** Facts from the hook that ends next. @param facts name, value, name, value … */
  explain(facts: readonly Fact[]): void;
  /** The request is sent to the service, for the first time or again. */
  asked(nowMono: number): void;
  /** The exchange is over. No method is called afterwards. */
  ended(exchange: EndedExchange, outcome: Outcome): void;
}

/** An exchange at its end. */
export interface EndedExchange extends Exchange {
  /** How many plugins of the chain had their request phase. */
  readonly reached: number;
}

/** An exchange whose heads a tap wants to see. */
export interface TappedExchange {
  /** The response leaves for the client. */
  answered(status: number, fields: Fields): void;
  ended(exchange: Exchange, outcome: Outcome): void;
}

/** The taps that watch exchanges. */
export interface ExchangeTaps {
  /** Whether there is any tap. */
  readonly active: boolean;
  /** @returns undefined when no tap wants this exchange */
  begin(exchange: Exchange): TappedExchange | undefined;
}

export interface ExchangeRecorder {
  /** @param plugins of the route @param digest of the policy @param nowMono on the monotonic clock */
  begin(plugins: readonly string[], digest: string, nowMono: number): LiveRecord;
}
