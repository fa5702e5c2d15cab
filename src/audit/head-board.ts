// Shares the heads of a service's sidecars through Redis, one hash per month. Each signed head names the last heads of
// siblings, so no trail can be rewritten without the others. The shared heads are signed, too: a writer to Redis must
// not make sidecars record heads that never existed.
import { replyList, type Script, type Store } from "../plugin-api/store.ts";
import type { Tail } from "./chain.ts";
import { type AuditKey, HeadVerifier } from "./key.ts";
import type { SeenHead } from "./record.ts";
import { periodOf } from "./subject-keys.ts";

/** Most siblings that a head names: the next ones by name, in a circle, so that all are named equally often. */
const maxSeen = 16;
const maxLookedAt = 256;
/** Older heads belong to sidecars that are gone. */
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

  /** @param keepMs how long heads are kept @param keys the first signs; heads signed by any of them are accepted */
  constructor(store: Store, service: string, keepMs: number, keys: readonly [AuditKey, ...AuditKey[]]) {
    this.#store = store;
    this.#service = service;
    this.#keepMs = keepMs;
    this.#key = keys[0];
    this.#verifier = new HeadVerifier(keys.map(({ publicKey }) => publicKey));
  }

  /** The latest heads of siblings; none while Redis is away. Never rejects. */
  async seen(own: string, nowMs: number): Promise<readonly SeenHead[]> {
    try {
      const key = headsKey(this.#service, periodOf(nowMs));
      const args = [own, maxSeen, nowMs - freshMs, maxLookedAt];
      return headsOf(await this.#store.run(look, [key], args, limitMs), this.#verifier);
    } catch {
      return [];
    }
  }

  /**
   * The latest head that this chain itself has shown, this month or last; undefined while Redis is away. Never rejects.
   */
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

  /** Never rejects: if it fails, the next head is shown. */
  async show({ chain, seq, hash }: Tail, nowMs: number): Promise<void> {
    const key = headsKey(this.#service, periodOf(nowMs));
    const signature = `${this.#key.kid} ${this.#key.sign(signedText([chain, seq, hash]))}`;
    await this.#store
      .run(show, [key], [chain, `${nowMs} ${seq} ${hash} ${signature}`, this.#keepMs], limitMs)
      .catch(() => {});
  }
}

/** No record begins with this text, so a signature of one cannot pass for a signature of the other. */
const signedText = (head: SeenHead): string => `head on the board ${JSON.stringify(head)}`;

const shownPattern = /^\d+ (\d+) ([A-Za-z0-9_-]{43}) ([A-Za-z0-9_-]{43}) ([A-Za-z0-9_-]{86})$/;

/** @param flat name, head, … as stored; heads that are malformed or not signed by a known key are left out */
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
