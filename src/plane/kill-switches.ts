// Kill switches as operators set and take them back. Every sidecar hears of it from the script that writes.
import {
  disabledKey,
  type KillSwitch,
  maxSwitches,
  parseSwitchField,
  type SwitchFacts,
  switchFacts,
  switchField,
  type SwitchTarget,
  switchType,
} from "../kill-switch/kill-switch.ts";
import { parseJson } from "../language/json.ts";
import { compactJws, payloadOf } from "../policy/signature/jws.ts";
import type { Script, Store } from "../plugin-api/store.ts";
import type { SigningKey } from "./private-key.ts";
import { signDocument } from "./sign.ts";

const limitMs = 3_000;
const now = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)";

/** KEYS: disabled. ARGV: field, value, most. Answers "ok", "full". */
const write: Script = {
  name: "disabled-write",
  lua: `
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
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
  readonly signed: boolean;
}

export interface SwitchList {
  /** Epoch ms by Redis' clock. */
  readonly nowMs: number;
  /** Those that are not over, oldest first. */
  readonly switches: readonly ListedSwitch[];
  /** Fields that no sidecar can read. */
  readonly unreadable: readonly string[];
}

/** All rejections are StoreUnavailable. */
export class KillSwitches {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async list(): Promise<SwitchList> {
    const [now, ...flat] = (await this.#store.run(read, [disabledKey], [], limitMs)) as unknown[];
    const nowMs = Number(now);
    const switches: ListedSwitch[] = [];
    const unreadable: string[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const field = String(flat[i]);
      const target = parseSwitchField(field);
      const value = String(flat[i + 1]);
      const facts = parseFacts(value);
      if (target === undefined || facts === undefined) unreadable.push(field);
      else if (facts.untilMs === null || facts.untilMs > nowMs)
        switches.push({
          ...target,
          ...facts,
          untilMs: facts.untilMs ?? undefined,
          signed: jwsOf(value) !== undefined,
        });
    }
    return { nowMs, switches: switches.toSorted((a, b) => a.atMs - b.atMs), unreadable };
  }

  /**
   * Switches off; one of the same target is replaced. What is over goes on the way.
   * @param key signs it; then it has an end
   * @returns false when there are too many
   */
  async disable(
    target: SwitchTarget,
    facts: Pick<SwitchFacts, "reason" | "author" | "openRoutes"> & { readonly ttlMs: number | undefined },
    key?: SigningKey,
  ): Promise<KillSwitch | undefined> {
    const { nowMs } = await this.list();
    const { ttlMs, ...rest } = facts;
    const whole: SwitchFacts = { ...rest, atMs: nowMs, untilMs: ttlMs === undefined ? null : nowMs + ttlMs };
    const field = switchField(target);
    const value =
      key === undefined
        ? JSON.stringify(whole)
        : await signDocument(whole, key, { typ: switchType, for: `${disabledKey} ${field}` }, nowMs);
    await this.#removeOver();
    const answer = await this.#store.run(write, [disabledKey], [field, value, maxSwitches], limitMs);
    return answer === "ok" ? { ...target, ...whole, untilMs: whole.untilMs ?? undefined } : undefined;
  }

  /** @returns whether it was off */
  async enable(target: SwitchTarget): Promise<boolean> {
    return Number(await this.#store.run(remove, [disabledKey], [switchField(target)], limitMs)) > 0;
  }

  async #removeOver(): Promise<void> {
    const [now, ...flat] = (await this.#store.run(read, [disabledKey], [], limitMs)) as unknown[];
    const over = flat.filter((_, i) => {
      const facts = i % 2 === 0 ? parseFacts(String(flat[i + 1])) : undefined;
      return facts !== undefined && facts.untilMs !== null && facts.untilMs <= Number(now);
    });
    if (over.length > 0) await this.#store.run(remove, [disabledKey], over.map(String), limitMs);
  }
}

const jwsOf = (value: string): string | undefined => compactJws(Buffer.from(value), 8_192);

function parseFacts(value: string): SwitchFacts | undefined {
  const token = jwsOf(value);
  try {
    return switchFacts.safeParse(parseJson(token === undefined ? value : payloadOf(token).toString())).data;
  } catch {
    return undefined;
  }
}
