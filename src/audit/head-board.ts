// Where sidecars of a service show their heads: Redis, a hash a month. Each head that is signed names the last ones of
// siblings, so that none of them can be written anew without the others.
import type { Script, Store } from "../plugin-api/store.ts";
import type { Tail } from "./chain.ts";
import type { SeenHead } from "./record.ts";
import { periodOf } from "./subject-keys.ts";

/** Siblings that a head names: those whose names follow, so that each is named by as many. */
const mostSeen = 16;
const mostLookedAt = 256;
/** Older ones are of sidecars that are gone. */
const freshMs = 7_200_000;
const limitMs = 1_000;

const show: Script = {
  name: "audit-show-head",
  lua: `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1`,
};
const look: Script = {
  name: "audit-see-heads",
  lua: `
local names = redis.call('HKEYS', KEYS[1])
table.sort(names)
local from = 1
for i, name in ipairs(names) do if name > ARGV[1] then from = i break end end
local found = {}
for i = 0, math.min(#names, tonumber(ARGV[4])) - 1 do
  local name = names[(from - 1 + i) % #names + 1]
  if name ~= ARGV[1] and #found < tonumber(ARGV[2]) * 2 then
    local head = redis.call('HGET', KEYS[1], name)
    if (tonumber(string.match(head, '^%d+')) or 0) > tonumber(ARGV[3]) then
      found[#found + 1] = name
      found[#found + 1] = head
    end
  end
end
return found`,
};

export const headsKey = (service: string, period: string): string => `audit:${service}:heads:${period}`;

export class HeadBoard {
  readonly #store: Store;
  readonly #service: string;
  readonly #keepMs: number;

  /** @param keepMs how long heads are kept */
  constructor(store: Store, service: string, keepMs: number) {
    this.#store = store;
    this.#service = service;
    this.#keepMs = keepMs;
  }

  /** The last heads of siblings; none while Redis is away. Never rejects. */
  async seen(own: string, nowMs: number): Promise<readonly SeenHead[]> {
    try {
      const key = headsKey(this.#service, periodOf(nowMs));
      const args = [own, mostSeen, nowMs - freshMs, mostLookedAt];
      return headsOf(await this.#store.run(look, [key], args, limitMs));
    } catch {
      return [];
    }
  }

  /** Never rejects: the next head says it, too. */
  async show({ chain, seq, hash }: Tail, nowMs: number): Promise<void> {
    const key = headsKey(this.#service, periodOf(nowMs));
    await this.#store
      .run(show, [key], [chain, `${nowMs} ${seq} ${hash}`, this.#keepMs], limitMs)
      .catch(() => {});
  }
}

/** @param flat name, head, … as the board holds them; what is malformed is left out */
export function headsOf(flat: unknown): SeenHead[] {
  const list = Array.isArray(flat) ? (flat as unknown[]).map(String) : [];
  const heads: SeenHead[] = [];
  for (let i = 0; i + 1 < list.length; i += 2) {
    const [, seq, hash] = /^\d+ (\d+) ([A-Za-z0-9_-]{43})$/.exec(list[i + 1] as string) ?? [];
    if (seq !== undefined && hash !== undefined) heads.push([list[i] as string, Number(seq), hash]);
  }
  return heads;
}
