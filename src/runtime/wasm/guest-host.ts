// What runs guests, as far as the rest is concerned: a module goes in, calls into it come back with what the guest did.
// Two of these are there: in an isolate of this process (isolate-host.ts), and in a thread.
import type { MaybePromise } from "../../plugin-api/contract.ts";
import type { HookNumbers } from "./shim/parts.ts";
import type { GuestFacts } from "./shim/state.ts";

/** The calls, by number. */
export const hooks: HookNumbers = {
  configure: 1,
  request: 2,
  requestBody: 3,
  response: 4,
  responseBody: 5,
  responseTrailers: 6,
  end: 7,
  tick: 8,
  queueReady: 9,
  callResponse: 10,
  endRoot: 11,
};

export interface GuestLimits {
  /** Of one call. */
  readonly timeMs: number;
  /** Of the start, and of taking a configuration. */
  readonly startMs: number;
}

/** What a call came to: what the guest returned, with what it did behind it; see `effects.ts`. */
export type GuestAnswer = string | number;

/** A guest that cannot be called any more: it trapped, took too long, or was ended. */
export class GuestFailure extends Error {
  override readonly name = "GuestFailure";
  /** false = it is not the call's fault: a new guest can be asked. */
  readonly began: boolean;

  constructor(
    message: string,
    { began = true, ...options }: ErrorOptions & { readonly began?: boolean } = {},
  ) {
    super(message, options);
    this.began = began;
  }
}

/** A module at work. */
export interface Guest {
  /** Whether calls come to something. */
  readonly alive: boolean;
  /** Time of a processor that it has had, in milliseconds; undefined where that cannot be told. */
  readonly cpuMs: number | undefined;
  /** Memory that it takes, likewise. */
  readonly memoryBytes: number | undefined;
  /**
   * @param hook one of `hooks`
   * @param context number of the context
   * @param text,more bytes, one character each
   * @throws or rejects with GuestFailure; the guest is not alive then
   */
  call(hook: number, context: number, number: number, text: string, more: string): MaybePromise<GuestAnswer>;
  /** The same for `configure`: it may take as long as a start, and holds nobody up. */
  configure(context: number, text: string): Promise<GuestAnswer>;
  /** Ends it; calls that wait are rejected. More than once is well. */
  dispose(): void;
}

export interface GuestHost {
  /** For people: `isolate`, `thread`. */
  readonly name: string;
  /**
   * Starts a module (`_initialize` or `_start`).
   * @param module its memory clamped already
   * @returns the guest, and what its start came to
   */
  load(
    module: Buffer,
    facts: GuestFacts,
    limits: GuestLimits,
  ): Promise<{ guest: Guest; started: GuestAnswer }>;
}
