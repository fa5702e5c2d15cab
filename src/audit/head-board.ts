// Where sidecars of a service show their heads: Redis, a hash a month. Each head that is signed names the last ones of
// siblings, so that none of them can be written anew without the others. What is shown is signed, too: who writes to Redis
// must not have sidecars say that they saw what never was.
import { replyList, type Script, type Store } from "../plugin-api/store.ts";
import type { Tail } from "./chain.ts";
import { type AuditKey, HeadVerifier } from "./key.ts";
import type { SeenHead } from "./record.ts";
import { periodOf } from "./subject-keys.ts";

/** Siblings that a head names: those whose names follow, so that each is named by as many. */
const maxSeen = 16;
const maxLookedAt = 256;
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
const readOne: Script = {
  name: "audit-own-head",
  lua: "return redis.call('HMGET', KEYS[1], ARGV[1])",
};

export const headsKey = (service: string, period: string): string => `audit:${service}:heads:${period}`;

export class HeadBoard {
  readonly #store: Store;
  readonly #service: string;
  readonly #keepMs: number;
  readonly #key: AuditKey;
  readonly #verifier: HeadVerifier;

  /** @param keepMs how long heads are kept @param keys the first signs; heads that one of them signed are believed */
  constructor(store: Store, service: string, keepMs: number, keys: readonly [AuditKey, ...AuditKey[]]) {
    this.#store = store;
    this.#service = service;
    this.#keepMs = keepMs;
    this.#key = keys[0];
    this.#verifier = new HeadVerifier(keys.map(({ publicKey }) => publicKey));
  }

  /** The last heads of siblings; none while Redis is away. Never rejects. */
  async seen(own: string, nowMs: number): Promise<readonly SeenHead[]> {
    try {
      const key = headsKey(this.#service, periodOf(nowMs));
      const args = [own, maxSeen, nowMs - freshMs, maxLookedAt];
      return headsOf(await this.#store.run(look, [key], args, limitMs), this.#verifier);
    } catch {
      return [];
    }
  }

  /** The last head of this chain itself, as it was shown this month or the last; undefined while Redis is away. Never rejects. */
  async own(chain: string, nowMs: number): Promise<SeenHead | undefined> {
    const lastMonth = Date.parse(`${periodOf(nowMs)}-01`) - 1;
    const read = async (atMs: number): Promise<readonly SeenHead[]> => {
      const found = await this.#store.run(
        readOne,
        [headsKey(this.#service, periodOf(atMs))],
        [chain],
        limitMs,
      );
      return headsOf([chain, replyList(found)[0]], this.#verifier);
    };
    try {
      return (await Promise.all([read(nowMs), read(lastMonth)])).flat()[0];
    } catch {
      return undefined;
    }
  }

  /** Never rejects: the next head says it, too. */
  async show({ chain, seq, hash }: Tail, nowMs: number): Promise<void> {
    const key = headsKey(this.#service, periodOf(nowMs));
    const signature = `${this.#key.kid} ${this.#key.sign(signedText([chain, seq, hash]))}`;
    await this.#store
      .run(show, [key], [chain, `${nowMs} ${seq} ${hash} ${signature}`, this.#keepMs], limitMs)
      .catch(() => {});
  }
}

/** No record begins like that: nobody can take the signature of the one for that of the other. */
const signedText = (head: SeenHead): string => `head on the board ${JSON.stringify(head)}`;

const shownPattern = /^\d+ (\d+) ([A-Za-z0-9_-]{43}) ([A-Za-z0-9_-]{43}) ([A-Za-z0-9_-]{86})$/;

/** @param flat name, head, … as the board holds them; what is malformed, or was signed by nobody known, is left out */
export function headsOf(flat: unknown, verifier: HeadVerifier): SeenHead[] {
  const list = replyList(flat).map(String);
  const heads: SeenHead[] = [];
  for (let i = 0; i + 1 < list.length; i += 2) {
    const [, seq, hash, kid, sig] = shownPattern.exec(list[i + 1] as string) ?? [];
    if (seq === undefined || hash === undefined || kid === undefined || sig === undefined) continue;
    const head: SeenHead = [list[i] as string, Number(seq), hash];
    if (verifier.verify(kid, signedText(head), sig) === true) heads.push(head);
  }
  return heads;
}
