// Kill switches as operators set and take them back. Every sidecar hears of it from the script that writes.
import {
  disabledKey,
  type KillSwitch,
  maxSwitches,
  maxSwitchLength,
  parseSwitchFacts,
  parseSwitchField,
  type SwitchFacts,
  switchField,
  type SwitchTarget,
  switchType,
} from "../kill-switch/kill-switch.ts";
import { signedOpener } from "../kill-switch/signed-switch.ts";
import type { SwitchOpener } from "../kill-switch/switch-source.ts";
import { pairsOf } from "../plugin-api/pairs.ts";
import { compactJws, payloadOf } from "../policy/signature/jws.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import type { Script, Store } from "../plugin-api/store.ts";
import type { SigningKey } from "./private-key.ts";
import { signDocument } from "./sign.ts";

const limitMs = 3_000;
const now = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)";

/**
 * KEYS: disabled. ARGV: field, value, most fields, whether a signed one may be replaced, then field, value, … of those that
 * are over: they go, unless somebody has set them anew. Answers "ok", "full", "signed".
 */
const write: Script = {
  name: "disabled-write",
  lua: `
for i = 5, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before and ARGV[4] == '0' and string.find(before, '^[%w_-]+%.[%w_-]+%.[%w_-]+$') then return 'signed' end
if not before and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 'ok'`,
};
/** KEYS: disabled. ARGV: fields. @returns how many were there */
const remove: Script = {
  name: "disabled-remove",
  lua: `
local gone = redis.call('HDEL', KEYS[1], unpack(ARGV))
if gone > 0 then redis.call('PUBLISH', KEYS[1], ARGV[1]) end
return gone`,
};
/** KEYS: disabled. @returns the time of Redis in ms, then field, value, … */
const read: Script = {
  name: "disabled-list",
  lua: `${now}
local reply = { now }
for _, text in ipairs(redis.call('HGETALL', KEYS[1])) do reply[#reply + 1] = text end
return reply`,
};

export interface ListedSwitch extends KillSwitch {
  /** Whether sidecars with these keys honour it; else they ignore it. */
  readonly counts: boolean;
}

export interface SwitchList {
  /** Epoch ms by Redis' clock. */
  readonly nowMs: number;
  /** Those that are not over, oldest first. */
  readonly switches: readonly ListedSwitch[];
  /** Fields that no sidecar can read. */
  readonly unreadable: readonly string[];
  /** Field, value, … of those that are over. */
  readonly over: readonly string[];
}

/** All rejections are StoreUnavailable. */
export class KillSwitches {
  readonly #store: Store;
  readonly #open: SwitchOpener | undefined;

  /** @param trusted whose signatures count; undefined = nothing has to be signed */
  constructor(store: Store, trusted: readonly VerifyKey[] | undefined) {
    this.#store = store;
    this.#open = trusted && signedOpener(() => Promise.resolve(trusted));
  }

  async list(): Promise<SwitchList> {
    const [now, ...flat] = (await this.#store.run(read, [disabledKey], [], limitMs)) as unknown[];
    const nowMs = Number(now);
    const switches: ListedSwitch[] = [];
    const unreadable: string[] = [];
    const over: string[] = [];
    for (const [field, value] of pairsOf(flat.map(String))) {
      const target = parseSwitchField(field);
      const facts = parseSwitchFacts(unsignedText(value));
      if (target === undefined || facts === undefined) unreadable.push(field);
      else if (facts.untilMs !== null && facts.untilMs <= nowMs) over.push(field, value);
      else {
        const counts =
          this.#open === undefined ||
          (facts.untilMs !== null && (await this.#open(value, field)) !== undefined);
        switches.push({ ...target, ...facts, untilMs: facts.untilMs ?? undefined, counts });
      }
    }
    return { nowMs, switches: switches.toSorted((a, b) => a.atMs - b.atMs), unreadable, over };
  }

  /**
   * Switches off; one of the same target is replaced, but no signed one by one that is not. What is over goes on the way.
   * @param key signs it; then it has an end
   */
  async disable(
    target: SwitchTarget,
    facts: Pick<SwitchFacts, "reason" | "author" | "openRoutes"> & { readonly ttlMs: number | undefined },
    key?: SigningKey,
  ): Promise<"ok" | "full" | "signed"> {
    const { nowMs, over } = await this.list();
    const { ttlMs, ...rest } = facts;
    const whole: SwitchFacts = { ...rest, atMs: nowMs, untilMs: ttlMs === undefined ? null : nowMs + ttlMs };
    const field = switchField(target);
    const value =
      key === undefined
        ? JSON.stringify(whole)
        : await signDocument(whole, key, { typ: switchType, for: `${disabledKey} ${field}` }, nowMs);
    const args = [field, value, maxSwitches, key === undefined ? 0 : 1, ...over];
    const answer = await this.#store.run(write, [disabledKey], args, limitMs);
    return answer === "ok" || answer === "signed" ? answer : "full";
  }

  /** @returns whether it was off */
  async enable(target: SwitchTarget): Promise<boolean> {
    return Number(await this.#store.run(remove, [disabledKey], [switchField(target)], limitMs)) > 0;
  }
}

/** What a value says, whether or not its signature counts. */
function unsignedText(value: string): string {
  const token = compactJws(Buffer.from(value), maxSwitchLength);
  return token === undefined ? value : payloadOf(token).toString();
}
