// Relays kill switches from one region's Redis to another's. The source's switches are added to those that the region
// has set itself.
import { createHash } from "node:crypto";
import { z } from "zod";
import {
  disabledKey,
  maxSwitches,
  parseSwitchFacts,
  parseSwitchField,
  switchBounds,
} from "../../kill-switch/kill-switch.ts";
import type { RedisClock } from "../../kill-switch/redis-clock.ts";
import { unsignedText } from "../../kill-switch/signed-switch.ts";
import type { SwitchOpener } from "../../kill-switch/switch-source.ts";
import { parseJson } from "../../language/json.ts";
import { pairsOf } from "../../plugin-api/pairs.ts";
import type { Script, Store } from "../../plugin-api/store.ts";
import { keyBeside } from "../../policy/sources/document-keys.ts";
import type { Ends } from "./documents.ts";

const limitMs = 3_000;
const maxMarkerBytes = 65_536;
const marker = z.array(z.string().length(64)).max(maxSwitches);

/**
 * KEYS: disabled, marker of the relayed switches. ARGV: expected marker, new marker, most fields, number of fields to
 * set, then for each field, expected value ("" = none), new value; then field, value of those to remove. @returns
 * number of changes; -1 = the marker has changed
 */
const change: Script = {
  name: "relay-disabled",
  lua: `
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return -1 end
local changed, at = 0, 5
for _ = 1, tonumber(ARGV[4]) do
  local there = redis.call('HGET', KEYS[1], ARGV[at])
  if (there or '') == ARGV[at + 1] and (there or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[3])) then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
    changed = changed + 1
  end
  at = at + 3
end
for i = at, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    changed = changed + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
redis.call('SET', KEYS[2], ARGV[2])
if changed > 0 then redis.call('PUBLISH', KEYS[1], '') end
return changed`,
};

/**
 * The clock of each end's Redis, by which switches there end: sidecars follow it, and this machine's clock may be wrong.
 */
export interface Clocks {
  readonly source: RedisClock;
  readonly target: RedisClock;
}

interface Switch {
  readonly value: string;
  readonly atMs: number;
  readonly untilMs: number | null;
}

/**
 * Relays the switches.
 * @param clocks are looked at
 * @param open undefined = nothing has to be signed
 * @param removes whether switches that are gone at the source are removed here
 * @returns number of changes; undefined = the marker changed meanwhile. Rejects with StoreUnavailable
 */
export async function relaySwitches(
  { source, target, targetSpread }: Ends,
  clocks: Clocks,
  open: SwitchOpener | undefined,
  removes: boolean,
): Promise<number | undefined> {
  const relayedKey = keyBeside("relayed-disabled", disabledKey, targetSpread);
  await Promise.all([clocks.source.look(), clocks.target.look()]);
  const [theirs, counting, ours, text] = await Promise.all([
    read(source, open, clocks.source.now()),
    open && read(target, open, clocks.target.now()),
    read(target, undefined, 0),
    target.getBytes(relayedKey, limitMs, maxMarkerBytes).then((bytes) => bytes?.toString() ?? ""),
  ]);
  const relayed = new Set(parseMarker(text));
  const isRelayed = (field: string, value: string): boolean => relayed.has(nameOf(field, value));
  /** Whether a switch here counts. Where switches have to be signed, one that is not does not block the source's. */
  const counts = (field: string, { value, untilMs }: Switch): boolean =>
    counting === undefined
      ? (untilMs ?? Infinity) > clocks.target.now()
      : counting.get(field)?.value === value;
  const sets: string[] = [];
  const known: string[] = [];
  for (const [field, { value, atMs }] of theirs) {
    const there = ours.get(field);
    const isThere = there !== undefined && counts(field, there);
    // A switch that this region has set or removed itself stays so until the switch expires.
    if (isThere && there.value !== value && !isRelayed(field, there.value)) continue;
    known.push(nameOf(field, value));
    if (there?.value === value || (!isThere && isRelayed(field, value))) continue;
    if (!isThere || there.atMs < atMs) sets.push(field, there?.value ?? "", value);
  }
  const gone = [...ours].filter(
    ([field, { value }]) => removes && !theirs.has(field) && isRelayed(field, value),
  );
  const kept = removes ? [] : [...ours].filter(([field, { value }]) => isRelayed(field, value));
  const all = new Set([...known, ...kept.map(([field, { value }]) => nameOf(field, value))]);
  const next = JSON.stringify([...all].slice(0, maxSwitches).toSorted());
  if (sets.length === 0 && gone.length === 0 && (next === text || (all.size === 0 && text === ""))) return 0;
  const removals = gone.flatMap(([field, { value }]) => [field, value]);
  const args = [text, next, maxSwitches, sets.length / 3, ...sets, ...removals];
  const changed = Number(await target.run(change, [disabledKey, relayedKey], args, limitMs));
  return changed < 0 ? undefined : changed;
}

/** @param nowMs switches that have expired by then are left out */
async function read(
  store: Store,
  open: SwitchOpener | undefined,
  nowMs: number,
): Promise<Map<string, Switch>> {
  const found = new Map<string, Switch>();
  for (const [field, value] of pairsOf(await store.readHash(disabledKey, switchBounds, limitMs))) {
    const text = open === undefined ? unsignedText(value) : await open(value, field);
    const facts = text === undefined ? undefined : parseSwitchFacts(text);
    if (parseSwitchField(field) === undefined || facts === undefined) continue;
    if (facts.untilMs === null ? open !== undefined : facts.untilMs <= nowMs) continue;
    if (found.size < maxSwitches) found.set(field, { value, atMs: facts.atMs, untilMs: facts.untilMs });
  }
  return found;
}

const nameOf = (field: string, value: string): string =>
  createHash("sha256").update(`${field}\n${value}`).digest("hex");

function parseMarker(text: string): readonly string[] {
  try {
    return marker.safeParse(parseJson(text)).data ?? [];
  } catch {
    return [];
  }
}
