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
import { fullRateUpTo } from "../canary/report-script.ts";
import { shadowKey } from "../canary/shadow-reports.ts";
import { pairsOf } from "../plugin-api/pairs.ts";
import { replyList, type Store } from "../plugin-api/store.ts";
import { keyBeside } from "../policy/sources/document-keys.ts";
import {
  begin,
  end,
  endUnheard,
  forget,
  maxEntries,
  readEntries,
  readState,
  settleEnded,
} from "./canary-scripts.ts";
import { type CanaryEntry, entryOf, parseEntry } from "./canary-entry.ts";
import { ChangeConflict, type PolicyHistory } from "./history.ts";

const limitMs = 5_000;
/** A canary counts as unheard no sooner than this: Redis may have been away. */
const minUnheardMs = 30_000;

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

/** What a canary is, or became. */
export type CanaryOutcome = Pick<CanaryState, "state" | "why"> & Partial<CanaryState>;

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
   * Reads what became of one canary, and settles it if it has ended. That it was promoted counts only once its
   * candidate is the policy.
   * @returns undefined = nothing is known of it any more
   */
  async outcome({ id, service }: CanaryOrder): Promise<CanaryOutcome | undefined> {
    const found = (await this.#readEnded()) ?? (await this.read());
    const state = found?.order.id === id ? found.state : undefined;
    if (state?.state === "running") return state;
    const revision = state && (await this.settle());
    // Whoever settled it, also with a later canary in its place by now, wrote its end there.
    const ends = await this.entries(service ?? undefined);
    const end = ends.find((each) => each.id === id && each.kind !== "canary" && each.kind !== "shadow");
    if (end !== undefined) return { ...state, state: end.kind as CanaryState["state"], why: end.reason };
    return state?.state === "promoted" && revision === undefined ? undefined : state;
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
    const how = order.by === "shadow" ? "shadow" : "canary";
    const current = await this.#history.current(service, order.author);
    if (current.digest === order.digest) return current.revision;
    if (current.digest !== order.baseDigest || current.revision !== order.revision - 1) {
      // Whoever promoted it may have been cut off before that was settled, and the policy changed since.
      const { revision, digest } = order;
      const made = (await this.#history.list(service)).find(
        (each) => each.kind === how && each.digest === digest && each.revision >= revision,
      );
      return made?.revision;
    }
    const document = await readCandidate(this.#store, order, this.#maxBytes, limitMs);
    if (document === null) return undefined;
    const { author, signedEpoch } = order;
    try {
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
