// Defines an entry of a plugin's cache, and its form in Redis.

export interface Entry {
  /** JSON; "" = the load found that there is no value. */
  readonly json: string;
  /** Expiry, in epoch milliseconds. */
  readonly untilMs: number;
  /** How long the load took, in milliseconds. */
  readonly loadMs: number;
}

export function entryText({ json, untilMs, loadMs }: Entry): string {
  return `${Math.ceil(untilMs)} ${Math.ceil(loadMs)} ${json}`;
}

/** @returns undefined when the text is not an entry, or has expired */
export function readEntry(text: string, nowMs: number): Entry | undefined {
  const [head, until, load] = /^(\d{1,15}) (\d{1,9}) /.exec(text) ?? [];
  if (head === undefined || Number(until) <= nowMs) return undefined;
  const json = text.slice(head.length);
  if (json !== "" && !isJson(json)) return undefined;
  return { json, untilMs: Number(until), loadMs: Number(load) };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether to reload the entry before it expires. The decision is random; it gets likelier as the expiry comes nearer,
 * and with the time that a load takes. So out of all sidecars that hold the entry, about one reloads it ("XFetch":
 * Vattani, Chierichetti, Lowenstein, VLDB 2015).
 */
export function isEarlyRefresh({ untilMs, loadMs }: Entry, nowMs: number, random: () => number): boolean {
  return nowMs - loadMs * Math.log(Math.max(random(), 1e-9)) >= untilMs;
}
