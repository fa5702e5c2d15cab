// One thing that a plugin's cache holds, and its form in Redis.

export interface Entry {
  /** JSON; "" = there is none. */
  readonly json: string;
  /** Epoch milliseconds until which it is good. */
  readonly untilMs: number;
  /** How long it took to load. */
  readonly loadMs: number;
}

export function entryText({ json, untilMs, loadMs }: Entry): string {
  return `${Math.ceil(untilMs)} ${Math.ceil(loadMs)} ${json}`;
}

/** @returns undefined for what is no entry, or is over */
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
 * Whether to load it anew already: by chance, the likelier the nearer its end and the longer its load takes, so that of
 * all who hold it one does ("XFetch": Vattani, Chierichetti, Lowenstein, VLDB 2015).
 */
export function isEarlyRefresh({ untilMs, loadMs }: Entry, nowMs: number, random: () => number): boolean {
  return nowMs - loadMs * Math.log(Math.max(random(), 1e-9)) >= untilMs;
}
