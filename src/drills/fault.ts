// The faults that a drill simulates in a sidecar: `redis-down`, `redis-slow=200ms`, `upstream-down`, `issuer-down`,
// `plugin-slow=NAME`, `disk-full`.

export type FaultKind =
  | "redis-down"
  | "redis-slow"
  | "upstream-down"
  | "issuer-down"
  | "plugin-slow"
  | "disk-full";

export interface Fault {
  readonly kind: FaultKind;
  /** As the operator wrote it. */
  readonly text: string;
  /** Delay of Redis' answers in ms. */
  readonly delayMs: number;
  /** The plugin whose hooks exceed their time limits; "" = none. */
  readonly plugin: string;
}

export const faultForms =
  "redis-down, redis-slow=200ms, upstream-down, issuer-down, plugin-slow=NAME, disk-full";

/** Longest drill. */
export const maxDrillMs = 600_000;

const maxDelayMs = 10_000;

/** @returns undefined for a text that is not a fault */
export function parseFault(text: string): Fault | undefined {
  const fault = { text, delayMs: 0, plugin: "" };
  if (text === "redis-down" || text === "upstream-down" || text === "issuer-down" || text === "disk-full")
    return { ...fault, kind: text };
  const delay = /^redis-slow=(\d{1,5})ms$/.exec(text)?.[1];
  if (delay !== undefined) {
    const delayMs = Number(delay);
    return delayMs < 1 || delayMs > maxDelayMs ? undefined : { ...fault, kind: "redis-slow", delayMs };
  }
  const plugin = /^plugin-slow=([a-z][a-z0-9-]{0,63})$/.exec(text)?.[1];
  return plugin === undefined ? undefined : { ...fault, kind: "plugin-slow", plugin };
}
