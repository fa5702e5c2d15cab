// Defines the interface to what runs guests: load a module, call it, and get back what the guest returned and did.
// There are two implementations: in an isolate of this process (isolate-host.ts), and in a thread (thread-host.ts).
import type { MaybePromise } from "../../plugin-api/contract.ts";
import type { HookNumbers } from "./shim/parts.ts";
import type { GuestFacts } from "./shim/state.ts";

/** Numbers of the calls. */
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
  /** Time limit of one call, in milliseconds. */
  readonly timeMs: number;
  /** Time limit of the start, and of taking a configuration, in milliseconds. */
  readonly startMs: number;
}

/** The answer to a call: the guest's return value, followed by its effects; see `shim/effects.ts`. */
export type GuestAnswer = string | number;

/** A guest that cannot be called any more: it trapped, took too long, or was ended. */
export class GuestFailure extends Error {
  override readonly name = "GuestFailure";
  /** false = the call did not cause the failure: another guest can take it. */
  readonly began: boolean;

  constructor(
    message: string,
    { began = true, ...options }: ErrorOptions & { readonly began?: boolean } = {},
  ) {
    super(message, options);
    this.began = began;
  }
}

/** A running module. */
export interface Guest {
  /** Whether it can still be called. */
  readonly alive: boolean;
  /** CPU time used so far, in milliseconds; undefined = unknown. */
  readonly cpuMs: number | undefined;
  /** Memory in bytes; undefined = unknown. */
  readonly memoryBytes: number | undefined;
  /**
   * @param hook one of `hooks`
   * @param context number of the context
   * @param text,more bytes, one character each
   * @throws or rejects with GuestFailure; the guest is not alive then
   */
  call(hook: number, context: number, number: number, text: string, more: string): MaybePromise<GuestAnswer>;
  /** Calls `configure`. It may take as long as a start, and does not block this thread. */
  configure(context: number, text: string): Promise<GuestAnswer>;
  /** Ends the guest and rejects waiting calls. It may be called more than once. */
  dispose(): void;
}

export interface GuestHost {
  /** Name for logs: `isolate`, `thread`. */
  readonly name: string;
  /**
   * Starts a module (`_initialize` or `_start`).
   * @param module the module, with its memory already clamped
   * @returns the guest, and the answer of its start
   */
  load(
    module: Buffer,
    facts: GuestFacts,
    limits: GuestLimits,
  ): Promise<{ guest: Guest; started: GuestAnswer }>;
}
