// Records who set and removed kill switches, and why. Each entry is written with the switch, in a key beside it. No
// decision depends on it, and an error in it must not keep a switch from being set.
import { z } from "zod";
import {
  disabledKey,
  parseSwitchField,
  switchFacts,
  switchField,
  type SwitchFacts,
  type SwitchTarget,
} from "../kill-switch/kill-switch.ts";
import { pairsOf } from "../plugin-api/pairs.ts";
import { replyList, type Script, type Store } from "../plugin-api/store.ts";
import { keyBeside, type Spread } from "../policy/sources/document-keys.ts";

/** Most entries that are kept (about half a kilobyte each), and most that are shown. */
const maxEntries = 1_000;
const maxShown = 200;
const limitMs = 3_000;

const shape = z.strictObject({
  act: z.enum(["disable", "enable"]),
  field: z.string(),
  author: switchFacts.shape.author,
  reason: switchFacts.shape.reason,
  /** null = until it is removed. */
  untilMs: switchFacts.shape.untilMs,
  openRoutes: z.boolean(),
  signed: z.boolean(),
});

export interface SwitchEntry extends SwitchTarget, Omit<z.output<typeof shape>, "field"> {
  /** Epoch ms by Redis' clock. */
  readonly atMs: number;
}

export const switchHistoryKey = (spread: Spread): string =>
  keyBeside("disabled-history", disabledKey, spread);

/** @returns Lua that appends ARGV[n] to KEYS[2] */
export const appendLua = (n: number): string =>
  `redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ${maxEntries}, '*', 'entry', ARGV[${n}])`;

export function entryText(
  act: SwitchEntry["act"],
  target: SwitchTarget,
  { author, reason, untilMs, openRoutes }: Omit<SwitchFacts, "atMs">,
  signed: boolean,
): string {
  const entry = { act, field: switchField(target), author, reason, untilMs, openRoutes, signed };
  return JSON.stringify(entry satisfies z.input<typeof shape>);
}

/** KEYS: disabled-history. ARGV: limit. @returns a flat list of ids and entries, newest first */
const read: Script = {
  name: "disabled-history",
  lua: `
local found = {}
local entries = redis.pcall('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])
if entries.err then return found end
for _, entry in ipairs(entries) do
  found[#found + 1] = entry[1]
  found[#found + 1] = entry[2][2]
end
return found`,
};

/** @returns the entries, newest first */
export async function readSwitchHistory(store: Store, spread: Spread): Promise<readonly SwitchEntry[]> {
  const reply = await store.run(read, [switchHistoryKey(spread)], [maxShown], limitMs);
  const flat = replyList(reply).map(String);
  return pairsOf(flat).flatMap(([id, text]) => parse(id, text) ?? []);
}

function parse(id: string, text: string): SwitchEntry | undefined {
  try {
    const { field, ...facts } = shape.parse(JSON.parse(text));
    const target = parseSwitchField(field);
    return target && { atMs: Number(id.split("-")[0]), ...target, ...facts };
  } catch {
    return undefined; // from another version or another program
  }
}
