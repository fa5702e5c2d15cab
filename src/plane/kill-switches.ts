// Sets and removes kill switches for operators. The scripts that write them notify every sidecar.
import {
  disabledKey,
  type KillSwitch,
  maxSwitches,
  parseSwitchFacts,
  parseSwitchField,
  type SwitchFacts,
  switchBounds,
  switchField,
  type SwitchTarget,
  switchType,
} from "../kill-switch/kill-switch.ts";
import { signedOpener, unsignedText } from "../kill-switch/signed-switch.ts";
import type { SwitchOpener } from "../kill-switch/switch-source.ts";
import { pairsOf } from "../plugin-api/pairs.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import type { Script, Store } from "../plugin-api/store.ts";
import type { Spread } from "../policy/sources/document-keys.ts";
import type { SigningKey } from "./private-key.ts";
import { signDocument } from "./sign.ts";
import {
  appendLua,
  entryText,
  readSwitchHistory,
  type SwitchEntry,
  switchHistoryKey,
} from "./switch-history.ts";

const limitMs = 3_000;
const now = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)";

/**
 * Sets a switch. KEYS: disabled, its history. ARGV: field, value, most fields, whether a signed one may be replaced,
 * most bytes of an entry, index in ARGV at which the idle ones begin, entry of the history, then field, value, … of the
 * expired ones and of the idle ones (no sidecar honours them). Expired ones are removed. If there is no room, idle ones
 * and unreadable fields are removed too. One that has been set again meanwhile stays, unless its value here is "".
 * @returns "ok", "full" or "signed"
 */
const write: Script = {
  name: "disabled-write",
  lua: `
local function drop(from, to)
  for i = from, to, 2 do
    if ARGV[i + 1] == '' or redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
      redis.call('HDEL', KEYS[1], ARGV[i])
    end
  end
end
drop(8, ARGV[6] - 1)
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before and ARGV[4] == '0' and string.find(before, '^[%w_-]+%.[%w_-]+%.[%w_-]+$') then return 'signed' end
if not before and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  drop(tonumber(ARGV[6]), #ARGV)
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local size = #field + redis.call('HSTRLEN', KEYS[1], field)
    if size > tonumber(ARGV[5]) or string.find(field, '[^\\32-\\126]') then redis.call('HDEL', KEYS[1], field) end
  end
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[1])
${appendLua(7)}
return 'ok'`,
};
/**
 * Removes a switch. KEYS: disabled, its history. ARGV: field, entry of the history. @returns 1 = it was there, 0 = it
 * was not
 */
const remove: Script = {
  name: "disabled-remove",
  lua: `
local gone = redis.call('HDEL', KEYS[1], ARGV[1])
if gone == 0 then return 0 end
redis.call('PUBLISH', KEYS[1], ARGV[1])
${appendLua(2)}
return 1`,
};
/** KEYS: disabled. @returns Redis' time in epoch ms */
const time: Script = { name: "disabled-time", lua: `${now}\nreturn now` };

export interface ListedSwitch extends KillSwitch {
  /** Whether sidecars with these keys honour it; otherwise they ignore it. */
  readonly counts: boolean;
}

export interface SwitchList {
  /** Epoch ms by Redis' clock. */
  readonly nowMs: number;
  /** The switches that have not expired, oldest first. */
  readonly switches: readonly ListedSwitch[];
  /** Fields that no sidecar can read. */
  readonly unreadable: readonly string[];
  /** Field, value, … of the expired ones. */
  readonly over: readonly string[];
  /** Field, value, … of the ones that no sidecar honours. */
  readonly idle: readonly string[];
}

/** All rejections are StoreUnavailable. */
export class KillSwitches {
  readonly #store: Store;
  readonly #spread: Spread;
  readonly #open: SwitchOpener | undefined;

  /** @param trusted keys whose signatures count; undefined = nothing has to be signed */
  constructor(store: Store, keyPrefix: string, trusted: readonly VerifyKey[] | undefined) {
    this.#store = store;
    this.#spread = { sharded: store.sharded !== false, keyPrefix };
    this.#open = trusted && signedOpener(() => trusted);
  }

  async list(): Promise<SwitchList> {
    const [now, flat] = await Promise.all([
      this.#store.run(time, [disabledKey], [], limitMs),
      this.#store.readHash(disabledKey, switchBounds, limitMs),
    ]);
    const nowMs = Number(now);
    const switches: ListedSwitch[] = [];
    const unreadable: string[] = [];
    const over: string[] = [];
    const idle: string[] = [];
    for (const [field, value] of pairsOf(flat)) {
      const target = parseSwitchField(field);
      const facts = parseSwitchFacts(unsignedText(value));
      if (target === undefined || facts === undefined) {
        unreadable.push(field.slice(0, 200));
        idle.push(field, value.includes("\ufffd") ? "" : value); // bytes that are not UTF-8 could not be matched again
      } else if (facts.untilMs !== null && facts.untilMs <= nowMs) over.push(field, value);
      else {
        const counts =
          this.#open === undefined ||
          (facts.untilMs !== null && (await this.#open(value, field)) !== undefined);
        if (!counts) idle.push(field, value);
        switches.push({ ...target, ...facts, untilMs: facts.untilMs ?? undefined, counts });
      }
    }
    return { nowMs, switches: switches.toSorted((a, b) => a.atMs - b.atMs), unreadable, over, idle };
  }

  /**
   * Sets a switch, and replaces one of the same target; an unsigned switch never replaces a signed one. Expired ones
   * are removed on the way, and, if there is no room, those that no sidecar honours.
   * @param key signs the switch; sidecars honour a signed one only if it has a `ttlMs`
   */
  async disable(
    target: SwitchTarget,
    facts: Pick<SwitchFacts, "reason" | "author" | "openRoutes"> & { readonly ttlMs: number | undefined },
    key?: SigningKey,
  ): Promise<"ok" | "full" | "signed"> {
    const { nowMs, over, idle } = await this.list();
    const { ttlMs, ...rest } = facts;
    const whole: SwitchFacts = { ...rest, atMs: nowMs, untilMs: ttlMs === undefined ? null : nowMs + ttlMs };
    const field = switchField(target);
    const value =
      key === undefined
        ? JSON.stringify(whole)
        : await signDocument(whole, key, { typ: switchType, for: `${disabledKey} ${field}` }, nowMs);
    const { maxEntryBytes } = switchBounds;
    const replaces = key === undefined ? 0 : 1;
    const entry = entryText("disable", target, whole, key !== undefined);
    const bounds = [maxSwitches, replaces, maxEntryBytes, 8 + over.length];
    const args = [field, value, ...bounds, entry, ...over, ...idle];
    const answer = await this.#store.run(write, this.#keys, args, limitMs);
    return answer === "ok" || answer === "signed" ? answer : "full";
  }

  /** Removes a switch. @returns whether it was set */
  async enable(target: SwitchTarget, by: Pick<SwitchFacts, "reason" | "author">): Promise<boolean> {
    const entry = entryText("enable", target, { ...by, untilMs: null, openRoutes: false }, false);
    const args = [switchField(target), entry];
    return Number(await this.#store.run(remove, this.#keys, args, limitMs)) > 0;
  }

  /** @returns the history of switches, newest first */
  history(): Promise<readonly SwitchEntry[]> {
    return readSwitchHistory(this.#store, this.#spread);
  }

  get #keys(): readonly [string, string] {
    return [disabledKey, switchHistoryKey(this.#spread)];
  }
}
