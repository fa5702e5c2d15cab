// Orders, promotes and aborts canaries for operators. The sidecars themselves decide how a running one proceeds
// (src/canary/report-script.ts). This file writes an ended one into the history, and gives a promoted one its revision.
import { randomUUID } from "node:crypto";
import { z } from "zod";
import {
  type CanaryOrder,
  canaryKey,
  canaryStateKey,
  orderText,
  readCandidate,
  readOrder,
} from "../canary/order.ts";
import { fullRateUpTo, keptMs } from "../canary/report-script.ts";
import { shadowKey } from "../canary/shadow-reports.ts";
import { pairsOf } from "../plugin-api/pairs.ts";
import { replyList, type Script, type Store } from "../plugin-api/store.ts";
import { keyBeside } from "../policy/sources/document-keys.ts";
import { type CanaryEntry, entryOf, parseEntry } from "./canary-entry.ts";
import { ChangeConflict, type PolicyHistory } from "./history.ts";

const limitMs = 5_000;
const maxEntries = 200;
const orderStaysMs = 60_000;
/** A canary counts as unheard no sooner than this: Redis may have been away. */
const minUnheardMs = 30_000;
const now =
  "local t = redis.call('TIME') local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))";

/**
 * Starts a canary. KEYS: order, state, history. ARGV: order with its document, id, plan, entry without its time. The
 * history is written with `pcall`: an error (its key may hold another type) must not leave the start half done, since
 * what a script has written before it fails stays.
 * @returns "ok", or "busy": another canary runs, or one was promoted and its policy is not written yet
 */
const begin: Script = {
  name: "canary-begin",
  lua: `
local state, settled = unpack(redis.call('HMGET', KEYS[2], 'state', 'settled'))
local open = state == 'running' or (state == 'promoted' and not settled)
if open and redis.call('EXISTS', KEYS[1]) == 1 then return 'busy' end
${now}
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'id', ARGV[2], 'state', 'running', 'step', 1, 'stepAt', now, 'startedAt', now, 'plan', ARGV[3])
redis.pcall('LPUSH', KEYS[3], '{"atMs":' .. now .. ',' .. string.sub(ARGV[4], 2))
redis.pcall('LTRIM', KEYS[3], 0, ${maxEntries - 1})
redis.call('PUBLISH', KEYS[1], ARGV[2])
return 'ok'`,
};
/** Ends a canary. KEYS: order, state. ARGV: id, state, why. @returns the state after the call; "" = no such canary */
const end: Script = {
  name: "canary-end",
  lua: `
if redis.call('HGET', KEYS[2], 'id') ~= ARGV[1] then return '' end
local state = redis.call('HGET', KEYS[2], 'state')
if state ~= 'running' then return state end
${now}
redis.call('HSET', KEYS[2], 'state', ARGV[2], 'why', ARGV[3], 'endedAt', now)
redis.call('PUBLISH', KEYS[1], ARGV[1])
return ARGV[2]`,
};
/**
 * Ends a canary that has had no reports for ARGV[2] ms. KEYS: order, state. ARGV: id, ms. Anyone who looks may run
 * this: by then the sidecars have gone back to the old policy.
 * @returns 1 = it was ended
 */
const endUnheard: Script = {
  name: "canary-end-unheard",
  lua: `
local id, state, startedAt, lastAt = unpack(redis.call('HMGET', KEYS[2], 'id', 'state', 'startedAt', 'lastAt'))
if id ~= ARGV[1] or state ~= 'running' then return 0 end
${now}
if now - (lastAt or startedAt) <= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], 'state', 'withdrawn', 'why', 'no figures came from any sidecar', 'endedAt', now)
redis.call('PUBLISH', KEYS[1], id)
return 1`,
};
/** Deletes a settled order. KEYS: order, state. Sidecars on a promoted candidate then take the changed policy. */
const forget: Script = {
  name: "canary-forget",
  lua: `
if redis.call('HGET', KEYS[2], 'settled') and redis.call('DEL', KEYS[1]) == 1 then redis.call('PUBLISH', KEYS[1], '') end
return 0`,
};
/**
 * Writes the end of a canary into the history, once. KEYS: order, state, history. ARGV: id, entry. The order stays for
 * a while, until every sidecar has the policy that came of it.
 */
const settleEnded: Script = {
  name: "canary-settle",
  lua: `
local id, state, settled = unpack(redis.call('HMGET', KEYS[2], 'id', 'state', 'settled'))
if id ~= ARGV[1] or state == 'running' or settled then return 0 end
redis.call('HSET', KEYS[2], 'settled', 1)
redis.pcall('LPUSH', KEYS[3], ARGV[2])
redis.pcall('LTRIM', KEYS[3], 0, ${maxEntries - 1})
redis.call('PEXPIRE', KEYS[1], ${orderStaysMs})
redis.call('PEXPIRE', KEYS[2], ${keptMs})
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1`,
};
/**
 * Reads fields of the state. KEYS: state. ARGV: field names. Every sidecar may write there, so it reads only these
 * fields, and none longer than 4096 bytes.
 */
const readState: Script = {
  name: "canary-state",
  lua: `
local found = {}
for _, name in ipairs(ARGV) do
  if redis.call('HSTRLEN', KEYS[1], name) <= 4096 then
    local value = redis.call('HGET', KEYS[1], name)
    if value then
      found[#found + 1] = name
      found[#found + 1] = value
    end
  end
end
return found`,
};
const readEntries: Script = {
  name: "canary-history",
  lua: "return redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)",
};

const count = z.coerce.number().catch(0);
const stateShape = z.object({
  id: z.string(),
  state: z.enum(["running", "promoted", "withdrawn", "aborted"]),
  step: count,
  stepAt: count,
  startedAt: count,
  endedAt: count,
  candidates: count,
  count,
  why: z.string().max(1_000).catch(""),
  /** "1" = the end is in the history. */
  settled: z.string().catch(""),
});
export type CanaryState = z.output<typeof stateShape>;
const stateFields = Object.keys(stateShape.shape);

export interface Canary {
  readonly order: CanaryOrder;
  readonly state: CanaryState;
}

/** Another canary is running. */
export class CanaryRuns extends Error {
  override readonly name = "CanaryRuns";
  readonly canary: Canary | undefined;

  constructor(canary: Canary | undefined) {
    super("another canary runs");
    this.canary = canary;
  }
}

export type CanaryWish = Omit<CanaryOrder, "id" | "atMs">;

export class Canaries {
  readonly #store: Store;
  readonly #history: PolicyHistory;
  readonly #keys: readonly [order: string, state: string, history: string];
  readonly #maxBytes: number;

  constructor(store: Store, history: PolicyHistory, keyPrefix: string, maxBytes: number) {
    const spread = { sharded: store.sharded !== false, keyPrefix };
    this.#store = store;
    this.#history = history;
    this.#maxBytes = maxBytes;
    this.#keys = [canaryKey, canaryStateKey(spread), keyBeside("canary-history", canaryKey, spread)];
  }

  /** @returns the ordered canary, running or ended. Rejects with StoreUnavailable */
  async read(): Promise<Canary | undefined> {
    const order = await readOrder(this.#store, limitMs);
    if (order === null) return undefined;
    const reply = await this.#store.run(readState, [this.#keys[1]], stateFields, limitMs);
    const flat = replyList(reply).map(String);
    const state = stateShape.safeParse(Object.fromEntries(pairsOf(flat))).data;
    return state?.id === order.id ? { order, state } : undefined;
  }

  /** Starts a canary. Rejects with CanaryRuns while another one runs. */
  async begin(wish: CanaryWish, document: Uint8Array): Promise<CanaryOrder> {
    await this.settle();
    const order: CanaryOrder = { id: randomUUID(), ...wish, atMs: 0 };
    // Reports that an earlier run of the same number left.
    if (order.by === "shadow") await this.#store.delete(shadowKey(order));
    const { steps, guards, minRequests, everyMs, forMs, silentMs } = order;
    const plan = { steps, guards, minRequests, everyMs, forMs, silentMs };
    const kind = order.by === "shadow" ? "shadow" : "canary";
    const { atMs: _, ...entry } = entryOf(order, kind, 0, order.author, order.reason);
    const args = [orderText(order, document), order.id, JSON.stringify(plan), JSON.stringify(entry)];
    const said = await this.#store.run(begin, this.#keys, args, limitMs);
    if (said !== "ok") throw new CanaryRuns(await this.read());
    return order;
  }

  /**
   * Ends the running canary.
   * @returns the canary after its end, and the revision if it was promoted; undefined = none runs
   */
  async end(
    to: "promoted" | "aborted",
    author: string,
    reason: string,
  ): Promise<(Canary & { readonly revision: number | undefined }) | undefined> {
    const running = await this.read();
    if (running === undefined || running.state.state !== "running") return undefined;
    const why = `by ${author}${reason === "" ? "" : `: ${reason}`}`.slice(0, 500);
    const { order } = running;
    // End it before the policy is written: a concurrent abort has then either ended it, or learns that it was promoted.
    await this.#store.run(end, this.#keys.slice(0, 2), [order.id, to, why], limitMs);
    const ended = await this.read();
    const revision = await this.settle();
    return ended && { ...ended, revision };
  }

  /**
   * Writes an ended canary into the history. A promoted candidate becomes a revision, unless the document has been
   * changed since. Whoever comes first does this, also a sidecar if its Redis rights allow it.
   * @returns the revision, if this call wrote it
   */
  async settle(): Promise<number | undefined> {
    const found = await this.#readEnded();
    if (found === undefined || found.state.settled === "1") return undefined;
    const { order, state } = found;
    const revision = state.state === "promoted" ? await this.#promote(order) : undefined;
    const kind = state.state === "promoted" && revision === undefined ? "withdrawn" : state.state;
    const why = kind === state.state ? state.why : "the policy was changed under it";
    const entry = JSON.stringify(
      entryOf(order, kind as CanaryEntry["kind"], state.endedAt, order.author, why),
    );
    await this.#store.run(settleEnded, this.#keys, [order.id, entry], limitMs);
    return revision;
  }

  /**
   * Prepares a change of the policy. Rejects with CanaryRuns while a canary runs, unless `endsIt`: then the change is
   * to end it.
   */
  async makeWay(endsIt = false): Promise<void> {
    await this.settle();
    const running = await this.read();
    if (running?.state.state === "running" && !endsIt) throw new CanaryRuns(running);
    await this.#store.run(forget, this.#keys.slice(0, 2), [], limitMs);
  }

  async #readEnded(): Promise<Canary | undefined> {
    const found = await this.read();
    if (found?.state.state !== "running") return found;
    const { id, silentMs } = found.order;
    const rarer = Math.max(1, found.state.count / fullRateUpTo);
    const args = [id, Math.max(minUnheardMs, 3 * silentMs * rarer)];
    const ended = await this.#store.run(endUnheard, this.#keys.slice(0, 2), args, limitMs);
    return ended === 1 ? await this.read() : undefined;
  }

  /** @returns the history's lines for one service, or for the shared policy, newest first */
  async entries(service: string | undefined): Promise<readonly CanaryEntry[]> {
    const reply = await this.#store.run(readEntries, [this.#keys[2]], [maxEntries], limitMs);
    const texts = replyList(reply).map(String);
    return texts
      .flatMap((text) => parseEntry(text) ?? [])
      .filter((each) => each.service === (service ?? null));
  }

  /** @returns the revision; undefined = the document is neither the candidate nor the one compared with it */
  async #promote(order: CanaryOrder): Promise<number | undefined> {
    const service = order.service ?? undefined;
    const current = await this.#history.current(service, order.author);
    if (current.digest === order.digest) return current.revision;
    if (current.digest !== order.baseDigest || current.revision !== order.revision - 1) return undefined;
    const document = await readCandidate(this.#store, order, this.#maxBytes, limitMs);
    if (document === null) return undefined;
    const { author, signedEpoch } = order;
    try {
      const how = order.by === "shadow" ? "shadow" : "canary";
      const reason = `${how} ${order.steps.map((step) => `${step}%`).join(",")}: ${order.reason}`.slice(
        0,
        1_000,
      );
      const written = await this.#history.change(service, {
        document,
        kind: how,
        author,
        reason,
        base: current.revision,
        signedEpoch,
      });
      return written.revision;
    } catch (error) {
      if (error instanceof ChangeConflict) return this.#promote(order);
      throw error;
    }
  }
}
