// Controls which policy is in force: what the source holds is checked, compiled and swapped in; whatever fails,
// the one in force stays, and the status says why. Generic over what a policy is compiled to.
import { type Chosen, chooseLayer, type PolicyTester, sameDocuments, tested } from "./layers/choose-layer.ts";
import { Freshness, type FreshnessOptions } from "./signature/freshness.ts";
import type { KnownGoodPolicy } from "./sources/last-known-good.ts";
import { type BesidePolicy, type DocumentPlace, rawBeside } from "./beside.ts";
import { builtinPolicy } from "./sources/builtin.ts";
import type { PolicyEvents, PolicyMeta } from "./events.ts";
import { type FallBacks, fallBacks } from "./fall-back.ts";
import { type InForce, statusOf } from "./in-force.ts";
import { type Job, overtakes } from "./job.ts";
import { LatestWork } from "./latest-work.ts";
import { type HistoryHeads, numbersOf } from "./numbering.ts";
import { PolicyOutcome } from "./outcome.ts";
import { isOfTheDocument, type Problem, problemsOf } from "./document/problems.ts";
import { type EffectivePolicy, type PolicyReader, type RawPolicy } from "./read.ts";
import type { PolicySource, SourceReading } from "./sources/source.ts";
import { digestsOf, type PolicyOrigin, type PolicyStatus } from "./status.ts";
import { Tries } from "./tries.ts";
import { unlessAborted, withinLimit } from "../plugin-api/within-limit.ts";

export interface PolicyControllerOptions<Snapshot> extends FallBacks {
  readonly read: PolicyReader;
  /** Absent = nothing has to be signed. */
  readonly trust?: FreshnessOptions["trust"];
  readonly onTrust?: FreshnessOptions["onTrust"];
  /** Redis, or the file when there is no Redis; undefined = the built-in policy. */
  readonly source: PolicySource | undefined;
  /** Tests each new policy. A policy that fails is refused; where only a new layer fails, only the layer is refused. */
  readonly test?: PolicyTester | undefined;
  /** Compiles and sets up the policy. A rejection refuses the policy. */
  readonly compile: (policy: EffectivePolicy, raw: RawPolicy) => Promise<Snapshot>;
  /** Puts the snapshot in force; must not throw. */
  readonly swap: (snapshot: Snapshot, meta: PolicyMeta) => void;
  /** Closes a snapshot whose set-up ended too late for it to be used. */
  readonly release: (snapshot: Snapshot) => void;
  readonly compileLimitMs?: number;
  /** How long the work in progress may go on when newer documents wait. */
  readonly patienceMs?: number;
  /** Delay before the first retry for documents whose reading was cut short. */
  readonly retryMs?: number;
  /** Epoch milliseconds. */
  readonly clock: { now(): number };
  readonly events: PolicyEvents;
}

export interface PolicyController {
  /** Loads the policy kept before the last restart, and learns from it who may sign. `start` does so if nobody has. */
  recall(): Promise<void>;
  /** Resolves after the first attempt, with a policy in force or without; never rejects. */
  start(): Promise<void>;
  readonly ready: boolean;
  status(): PolicyStatus;
  /** The documents in force; undefined = at least one of them has no verified signature. */
  signed(): RawPolicy | undefined;
  /** Reads a document that is tried beside the policy in force, as strictly as that one. Rejects with PolicyRefused. */
  beside(place: DocumentPlace, document: Uint8Array): Promise<BesidePolicy>;
  stop(): Promise<void>;
}

export function createPolicyController<Snapshot>(
  options: PolicyControllerOptions<Snapshot>,
): PolicyController {
  return new Controller(options);
}

class Controller<Snapshot> implements PolicyController {
  readonly #options: PolicyControllerOptions<Snapshot>;
  readonly #freshness: Freshness;
  #inForce: InForce | undefined;
  /** The documents that were last in force, also before the start. Their layer is the one that stands. */
  #known: RawPolicy | undefined;
  /** The policy that was last saved to outlive a restart. */
  #kept: KnownGoodPolicy | undefined;
  #recalled: Promise<void> | undefined;
  #revision = 0;
  readonly #outcome: PolicyOutcome;
  /** Heads of the histories of the documents at work. */
  #heads: HistoryHeads | undefined;
  #sourceState: string | undefined;
  /** The source's last documents, once they were accepted or refused. Polls find the same ones again. */
  #settled: { readonly raw: RawPolicy; readonly problems: readonly Problem[] } | undefined;
  readonly #work: LatestWork<Job>;
  #latest: Job | undefined;
  readonly #tries: Tries;
  readonly #stopped = new AbortController();

  constructor(options: PolicyControllerOptions<Snapshot>) {
    this.#options = options;
    const { trust, onTrust, clock, events, patienceMs } = options;
    this.#outcome = new PolicyOutcome(events, clock);
    const read: PolicyReader = (raw, signal = this.#stopped.signal) => options.read(raw, signal);
    this.#freshness = new Freshness({ read, trust, onTrust, now: () => clock.now() });
    this.#tries = new Tries(() => this.#latest && void this.#work.offer(this.#latest), options.retryMs);
    this.#work = new LatestWork<Job>({
      run: (job, signal) => this.#run(job, signal),
      overtakes,
      ...(patienceMs !== undefined && { patienceMs }),
    });
  }

  recall(): Promise<void> {
    return (this.#recalled ??= this.#recall());
  }

  async #recall(): Promise<void> {
    const { source, lastKnownGood } = this.#options;
    if (source === undefined) return;
    const kept = await lastKnownGood?.load();
    this.#kept = kept;
    this.#revision = kept?.revision ?? 0;
    if (kept?.from === source.kind) this.#known = kept.raw;
    await this.#freshness.remember(kept?.raw, kept?.keySets);
  }

  async start(): Promise<void> {
    const { source, baseline } = this.#options;
    if (source === undefined) return void (await this.#take(builtinPolicy, "builtin", this.#stopped.signal));
    await this.recall();
    if (baseline !== undefined) await this.#freshness.rememberFloor(baseline);
    await new Promise<void>((resolve) => {
      source.start((reading) => {
        const learned = this.#learn(reading).catch(problemsOf);
        this.#latest = { reading, learned };
        void this.#work.offer(this.#latest).then(resolve);
      });
    });
  }

  get ready(): boolean {
    return this.#inForce !== undefined;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#tries.pause();
    await this.#options.source?.stop();
    await this.#work.stop();
    await this.#options.lastKnownGood?.settled();
  }

  status(): PolicyStatus {
    const { polledBecause = null } = this.#options.source ?? {};
    return statusOf(this.#inForce, this.#revision, this.#outcome, polledBecause);
  }

  signed(): RawPolicy | undefined {
    const { policy, raw } = this.#inForce ?? {};
    return policy?.signed === "verified" && raw ? { ...raw, keySets: this.#freshness.keySets } : undefined;
  }

  async beside(place: DocumentPlace, document: Uint8Array): Promise<BesidePolicy> {
    if (this.#inForce === undefined) throw new Error("no policy is in force");
    const raw = rawBeside(this.#inForce.raw, this.#freshness.keySets, place, document);
    const read = tested(this.#freshness.read, this.#options.test, this.#stopped.signal);
    return { policy: await read(raw), raw };
  }

  /** Learns who may sign as soon as the source is read; no set-up at work and no refused policy delays that. */
  async #learn(reading: SourceReading): Promise<readonly Problem[]> {
    const { keySets } = reading.state === "read" ? reading.raw : reading;
    const { notices, changed } = await this.#freshness.learn(keySets);
    if (changed) this.#keep({ ...this.#kept, revision: this.#revision });
    return notices;
  }

  async #run(job: Job, signal: AbortSignal): Promise<void> {
    try {
      const taken = await this.#handle(job, signal);
      if (!taken && !this.ready && !signal.aborted) await this.#fallBack(signal);
    } catch (error) {
      // A listener of this program threw.
      this.#outcome.fail(problemsOf(error));
    }
  }

  /** @returns whether what the source holds is in force */
  async #handle({ reading, learned: learning }: Job, signal: AbortSignal): Promise<boolean> {
    const { source } = this.#options;
    const learned = await learning;
    const message = reading.state === "read" ? undefined : reading.message;
    if (this.#sourceState !== reading.state) this.#options.events.onSourceState(reading.state, message);
    this.#sourceState = reading.state;
    this.#tries.pause();
    if (reading.state !== "read") {
      this.#outcome.fail([{ path: "", message: reading.message }]);
      return false;
    }
    const { raw, notices } = this.#freshness.complete(reading.raw, this.#known);
    this.#heads = reading.heads;
    const taken = await this.#settle(raw, source?.kind ?? "builtin", signal);
    this.#number(reading.heads);
    const over = this.#inForce === undefined ? [] : this.#freshness.over(this.#inForce.policy);
    this.#outcome.notice([...learned, ...notices, ...over]);
    return taken;
  }

  /** Gives the policy in force its revision. A plain SET gets one later, when a command takes it into the history. */
  #number(heads: HistoryHeads | undefined): void {
    const inForce = this.#inForce;
    if (inForce === undefined) return;
    const numbers = numbersOf(inForce.documents, heads, inForce, this.#revision);
    this.#inForce = { ...inForce, numbers };
    this.#revision = numbers.revision;
  }

  /** @returns digests and revision of a policy that comes into force. @param stays whether the old one acts the same */
  #named(raw: RawPolicy, source: PolicyOrigin, stays: boolean): Pick<InForce, "documents" | "numbers"> {
    const documents = digestsOf(raw);
    const heads = source === this.#options.source?.kind ? this.#heads : undefined;
    const own = stays || source === "kept" ? this.#revision : this.#revision + 1;
    return { documents, numbers: numbersOf(documents, heads, this.#inForce, own) };
  }

  #keep({ raw, revision, from = this.#options.source?.kind }: Partial<KnownGoodPolicy>): void {
    if (from === undefined || revision === undefined) return;
    this.#kept = { raw, revision, from, keySets: this.#freshness.keySets };
    this.#options.lastKnownGood?.save(this.#kept);
  }

  async #settle(raw: RawPolicy, source: PolicyOrigin, signal: AbortSignal): Promise<boolean> {
    if (this.#settled !== undefined && sameDocuments(this.#settled.raw, raw)) {
      const { problems } = this.#settled;
      if (problems.length > 0) {
        this.#outcome.fail(problems);
        return false;
      }
      this.#outcome.succeed();
      this.#options.events.onConfirmed?.();
      return true;
    }
    this.#settled = undefined;
    return this.#take(raw, source, signal);
  }

  /** Looks for another policy when nothing is in force and the source cannot help. */
  async #fallBack(signal: AbortSignal): Promise<void> {
    const why = this.#outcome.lastError;
    let problems = why?.problems ?? [];
    for await (const found of fallBacks(this.#options, this.#options.source)) {
      const { raw, origin } = found;
      if (origin === "peer") await this.#learn({ state: "failed", message: "", keySets: raw.keySets });
      if (origin === undefined) problems = [...problems, found.problem];
      else if (await this.#take({ ...raw, keySets: this.#freshness.keySets }, origin, signal)) break;
    }
    if (why !== null) this.#outcome.fail(problems, why.at);
  }

  #refuse(raw: RawPolicy, error: unknown, fromSource: boolean): void {
    // A flaw of a document lasts until the document changes; a failure to read it may pass.
    if (fromSource && isOfTheDocument(error)) this.#settled = { raw, problems: problemsOf(error) };
    else if (fromSource) this.#tries.later(raw);
    this.#outcome.reject(raw, problemsOf(error));
  }

  async #take(raw: RawPolicy, source: PolicyOrigin, signal: AbortSignal): Promise<boolean> {
    const { compile, swap, release, compileLimitMs = 30_000 } = this.#options;
    const fromSource = source === this.#options.source?.kind;
    let chosen: Chosen;
    try {
      const read = tested(this.#freshness.read, this.#options.test, signal);
      chosen = await chooseLayer(read, raw, this.#known);
    } catch (error) {
      if (!signal.aborted) this.#refuse(raw, error, fromSource);
      return false;
    }
    const { policy, refused } = chosen;
    const known = this.#inForce?.meta.digest === policy.digest ? this.#inForce : undefined;
    const named = this.#named(chosen.raw, source, known !== undefined);
    const { revision } = named.numbers;
    const meta: PolicyMeta = { revision, digest: policy.digest, source, signed: policy.signed };
    if (known === undefined) {
      try {
        const compiled = compile(policy, chosen.raw);
        // A set-up that never ends must not block later policies.
        const lateText = `set-up took longer than ${compileLimitMs} ms`;
        const limited = withinLimit(compiled, compileLimitMs, lateText, release);
        swap(await unlessAborted(limited, signal, release), meta);
      } catch (error) {
        if (signal.aborted) return false;
        // The refusal is not settled: what a plugin's set-up needs may be there at the next read.
        this.#outcome.reject(raw, problemsOf(error));
        return false;
      }
    }
    const since = known?.since ?? this.#options.clock.now();
    this.#inForce = { policy, meta, raw: chosen.raw, ...named, since };
    if (fromSource || source === "kept") this.#known = chosen.raw;
    this.#freshness.note(policy);
    this.#revision = revision;
    this.#outcome.succeed();
    if (fromSource) {
      this.#settled = { raw, problems: refused };
      this.#keep({ raw: chosen.raw, revision, from: source });
    }
    this.#options.events.onAccepted(meta, known === undefined, policy.overruled);
    if (refused.length > 0) this.#outcome.reject(raw, refused);
    return true;
  }
}
