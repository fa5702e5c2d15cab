// Names the classes of the shim, the program beside a guest, and its limits.
import type { BufferCalls } from "./buffer-calls.ts";
import type { EffectBounds, Effects } from "./effects.ts";
import type { HeaderCalls } from "./header-calls.ts";
import type { HeaderMap } from "./header-map.ts";
import type { LogCalls } from "./log-calls.ts";
import type { Memory } from "./memory.ts";
import type { MetricCalls } from "./metric-calls.ts";
import type { Pairs } from "./pairs.ts";
import type { PropertyBounds, PropertyCalls } from "./property-calls.ts";
import type { RandomBytes } from "./random.ts";
import type { SharedBounds, SharedCalls } from "./shared-calls.ts";
import type { GuestState } from "./state.ts";
import type { CallBounds, StreamCalls } from "./stream-calls.ts";
import type { GuestExit, WasiCalls } from "./wasi-calls.ts";

/** Limits of what a guest may keep or emit. */
export interface Bounds {
  readonly effects: EffectBounds;
  readonly calls: CallBounds;
  /** Limit in bytes of a body that a guest makes or answers with. */
  readonly bodyBytes: number;
  readonly shared: SharedBounds;
  readonly properties: PropertyBounds;
  readonly metrics: number;
  /** Most lines that may be added to one map of fields. */
  readonly fields: number;
  /** Ended exchanges that the guest has not finished with (`proxy_on_done` returned false). */
  readonly pending: number;
  readonly names: number;
}

/** Numbers of the calls. */
export interface HookNumbers {
  readonly configure: number;
  readonly request: number;
  readonly requestBody: number;
  readonly response: number;
  readonly responseBody: number;
  readonly responseTrailers: number;
  readonly end: number;
  readonly tick: number;
  readonly queueReady: number;
  readonly callResponse: number;
  readonly endRoot: number;
}

/** The classes that `Program` uses. They are passed in, because classes loaded as text cannot import each other. */
export interface ShimParts {
  readonly Memory: typeof Memory;
  readonly HeaderMap: typeof HeaderMap;
  readonly Pairs: typeof Pairs;
  readonly Effects: typeof Effects;
  readonly GuestState: typeof GuestState;
  readonly HeaderCalls: typeof HeaderCalls;
  readonly BufferCalls: typeof BufferCalls;
  readonly StreamCalls: typeof StreamCalls;
  readonly SharedCalls: typeof SharedCalls;
  readonly MetricCalls: typeof MetricCalls;
  readonly PropertyCalls: typeof PropertyCalls;
  readonly LogCalls: typeof LogCalls;
  readonly WasiCalls: typeof WasiCalls;
  readonly RandomBytes: typeof RandomBytes;
  readonly GuestExit: typeof GuestExit;
}
