// Verifies a trail: finds records that were removed, changed, moved or made up. Each record contains the hash of the
// previous one; heads are signed, and name heads of other chains.
import { hashOf, noHash, parseRecord, type Place, type ReadRecord, unsignedOf } from "./record.ts";

/** A line of a trail and its place: `file:line`, or the id of a stream entry. */
export interface TrailLine {
  readonly text: string;
  readonly where: string;
}

/** One problem found. */
export interface Finding {
  readonly where: string;
  readonly chain: string | undefined;
  /** Number of the wrong record, or of the one before the problem. */
  readonly seq: number | undefined;
  readonly problem: string;
}

/** A head known from elsewhere: the record with this number must have this hash. */
export interface Anchor {
  readonly chain: string;
  readonly seq: number;
  readonly hash: string;
  /** Where it is known from. */
  readonly by: string;
}

export interface VerifyOptions {
  /** @returns undefined when no key has this kid */
  readonly verify: (kid: string, signed: string, signature: string) => boolean | undefined;
  readonly nowMs: number;
  readonly anchors?: readonly Anchor[];
  /** Set for a capped stream, whose oldest records disappear: a chain may begin at any number. */
  readonly trimmed?: boolean;
}

export interface Verified {
  readonly records: number;
  readonly chains: readonly {
    readonly chain: string;
    readonly from: number;
    readonly to: number;
    readonly signedTo: number;
  }[];
  readonly findings: readonly Finding[];
}

/** Tolerated difference of clocks: a record further in the future was made up, or its clock was wrong. */
const aheadMs = 150_000;
/** While there are records a head is signed each minute: a head missing for less than this is no problem. */
const headLateMs = 150_000;
/** Without records, one head an hour. */
const idleHeadLateMs = 3_900_000;

interface ChainState {
  readonly first: Place & { readonly where: string };
  seq: number;
  hash: string;
  where: string;
  atMs: number;
  signedTo: number;
  /** Whether the last record is a head marked as the last one. */
  closed: boolean;
  /** Deletions reported since the last head (chain, last deleted record). Unsigned, anybody could have written them. */
  readonly pruned: [chain: string, to: number][];
  /** Hashes of heads, by record number. */
  readonly heads: Map<number, string>;
}

export class TrailVerifier {
  readonly #options: VerifyOptions;
  readonly #chains = new Map<string, ChainState>();
  readonly #anchors: Anchor[];
  readonly #findings: Finding[] = [];
  /** Signed deletions: the last deleted record of each chain. */
  readonly #pruned = new Map<string, number>();
  readonly #after: Anchor[] = [];
  #records = 0;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#anchors = [...(options.anchors ?? [])];
  }

  /** Takes lines in the order in which they were written; lines of several chains may be mixed. */
  add({ text, where }: TrailLine): void {
    this.#records += 1;
    const record = parseRecord(text);
    if (record === undefined) {
      this.#find({ where, chain: undefined, seq: undefined }, "is no record: it was changed, or cut off");
      return;
    }
    const own = hashOf(text);
    const before = this.#chains.get(record.chain);
    const state = before ?? this.#begin(record, where);
    if (before !== undefined) this.#follows(before, record, where);
    if (record["kind"] === "head") this.#head(record, { text, where }, own, state);
    else state.closed = false;
    if (record["kind"] === "pruned") state.pruned.push([String(record["of"]), Number(record["to"])]);
    this.#anchorStart(record);
    Object.assign(state, { seq: record.seq, hash: own, where, atMs: Date.parse(String(record["at"])) });
  }

  /** Runs the checks that need all lines. */
  end(): Verified {
    for (const [chain, state] of this.#chains) this.#judgeEnds(chain, state);
    for (const anchor of this.#anchors) this.#judgeAnchor(anchor);
    for (const anchor of this.#after) this.#judgeAfter(anchor);
    const chains = [...this.#chains].map(([chain, { first, seq, signedTo }]) => ({
      chain,
      from: first.seq,
      to: seq,
      signedTo,
    }));
    return { records: this.#records, chains, findings: this.#findings };
  }

  #find(place: Omit<Finding, "problem">, problem: string): void {
    this.#findings.push({ ...place, problem });
  }

  #begin({ chain, seq, prev }: Place, where: string): ChainState {
    const state: ChainState = {
      first: { chain, seq, prev, where },
      seq: seq - 1,
      hash: prev,
      where,
      atMs: 0,
      signedTo: 0,
      closed: false,
      pruned: [],
      heads: new Map(),
    };
    this.#chains.set(chain, state);
    if (seq === 1 && prev !== noHash)
      this.#find({ where, chain, seq }, "says that it is the first and names one before it: it was changed");
    return state;
  }

  #follows(state: ChainState, { chain, seq, prev }: Place, where: string): void {
    const expected = state.seq + 1;
    const place = { where, chain, seq };
    if (seq > expected)
      this.#find(
        place,
        `records ${expected} to ${seq - 1} before it are missing: they were removed, or moved`,
      );
    else if (seq < expected)
      this.#find(place, `stands behind record ${state.seq}: it was moved, repeated or made up`);
    else if (prev !== state.hash)
      this.#find(
        { where: state.where, chain, seq: state.seq },
        `record ${state.seq} is not the one that record ${seq} (${where}) follows: one of them was changed or made up`,
      );
  }

  #head(record: ReadRecord & Place, line: TrailLine, own: string, state: ChainState): void {
    const place = { where: line.where, chain: record.chain, seq: record.seq };
    const signature = unsignedOf(line.text);
    const kid = String(record["kid"]);
    const valid =
      signature === undefined ? false : this.#options.verify(kid, signature.signed, signature.sig);
    if (valid === undefined)
      this.#find(place, `head is signed with a key that is not among those given (kid ${kid.slice(0, 64)})`);
    else if (!valid) this.#find(place, "head has no valid signature: it, or a record before it, was changed");
    else this.#signed(state, record.seq);
    state.closed = record["last"] === true;
    state.heads.set(record.seq, own);
    if (valid !== true || !Array.isArray(record["seen"])) return;
    for (const seen of record["seen"] as unknown[]) {
      const [chain, seq, hash] = Array.isArray(seen) ? (seen as unknown[]) : [];
      this.#anchors.push({ chain: String(chain), seq: Number(seq), hash: String(hash), by: line.where });
    }
  }

  #signed(state: ChainState, seq: number): void {
    state.signedTo = seq;
    for (const [chain, to] of state.pruned)
      this.#pruned.set(chain, Math.max(to, this.#pruned.get(chain) ?? 0));
    state.pruned.length = 0;
  }

  /** A start record names the end of the chain before, and the head shown in Redis if that was ahead of the file. */
  #anchorStart(record: ReadRecord & Place): void {
    if (record["kind"] !== "start") return;
    const by = `record ${record.seq} of ${record.chain}`;
    for (const [name, anchors] of [
      ["after", this.#after],
      ["shown", this.#anchors],
    ] as const) {
      const said = record[name];
      if (!Array.isArray(said)) continue;
      const [chain, seq, hash] = said as unknown[];
      anchors.push({ chain: String(chain), seq: Number(seq), hash: String(hash), by });
    }
  }

  #judgeEnds(chain: string, state: ChainState): void {
    const { first, seq, where, atMs, signedTo, closed } = state;
    if (first.seq > 1 && this.#options.trimmed !== true && (this.#pruned.get(chain) ?? 0) < first.seq - 1)
      this.#find(
        { where: first.where, chain, seq: first.seq },
        `records 1 to ${first.seq - 1} are missing, and no signed record says that they were deleted by age or number`,
      );
    const age = this.#options.nowMs - atMs;
    if (age < -aheadMs)
      this.#find({ where, chain, seq }, "is of a time to come: it was made up, or a clock was wrong");
    else if (signedTo < seq && !(age < headLateMs))
      this.#find(
        { where, chain, seq },
        `no signed head covers records ${signedTo + 1} to ${seq}: they prove nothing, and more may have followed`,
      );
    else if (signedTo === seq && !closed && !(age < idleHeadLateMs))
      this.#find(
        { where, chain, seq },
        "the trail ends here and was not closed: later records may have been removed",
      );
  }

  /** If a chain is missing entirely, the only trace of it is the start record of the chain that continued it. */
  #judgeAfter(anchor: Anchor): void {
    const { chain, seq, by } = anchor;
    if (this.#chains.has(chain)) this.#judgeAnchor(anchor);
    else if (this.#options.trimmed !== true && (this.#pruned.get(chain) ?? 0) < seq)
      this.#find(
        { where: by, chain, seq },
        `all its records are missing, and no signed record says that they were deleted by age or number; ${by} follows record ${seq}`,
      );
  }

  #judgeAnchor({ chain, seq, hash, by }: Anchor): void {
    const state = this.#chains.get(chain);
    if (state === undefined || seq < state.first.seq) return;
    const place = { where: state.where, chain, seq };
    if (seq > state.seq)
      this.#find(place, `ends at record ${state.seq}; ${by} has seen record ${seq}: the end was removed`);
    else if ((state.heads.get(seq) ?? (seq === state.seq ? state.hash : undefined)) !== hash)
      this.#find(place, `record ${seq} is not the one that ${by} has seen: the trail was written anew`);
  }
}
