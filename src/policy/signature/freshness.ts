// Checks more of a signature than its signer: whether the document is older than one that has been in force, or has
// expired. A writer of Redis can put back or delete anything that was once signed. This class remembers the highest
// epochs.
import { sameBytes } from "../layers/choose-layer.ts";
import { digestOf } from "../document/digest.ts";
import { compactJws, payloadOf, readClaims } from "./jws.ts";
import { byFewest, keySetKey, maxKeySets, type Trust } from "./key-sets.ts";
import { defaultMaxBytes } from "../document/parse.ts";
import { type Problem, PolicyRefused } from "../document/problems.ts";
import {
  type EffectivePolicy,
  type PolicyReader,
  type RawPolicy,
  sharedKey,
  type SignedDocument,
} from "../read.ts";
import type { SourceReading } from "../sources/source.ts";

type TrustBy = (keySets: readonly Uint8Array[]) => Promise<Trust>;

export interface FreshnessOptions {
  readonly read: PolicyReader;
  /** Absent = nothing has to be signed, and signatures are not checked. */
  readonly trust?: TrustBy | undefined;
  /** Receives who may sign as soon as that is known, whether the policy is accepted or not. Its promise is awaited. */
  readonly onTrust?: ((trust: Trust) => void | Promise<void>) | undefined;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

interface Completed {
  readonly raw: RawPolicy;
  /** Problems with the source's content that do not keep it from being in force. */
  readonly notices: readonly Problem[];
}

interface Learned {
  readonly notices: readonly Problem[];
  readonly changed: boolean;
}

const tooMany = `follows from OUTRIGGER_POLICY_KEYS by more than ${maxKeySets} documents, and does not count, its revocations neither: bring OUTRIGGER_POLICY_KEYS up to date and restart`;
const keysStay = "the keys that it named still count, and those that it revoked do not";
const layerStays = "it stays in force; to take it away, apply a signed one that is empty";
const unsignedRemoval = (document: string, what: string): Problem => ({
  path: "",
  document,
  message: `is gone, which nobody signed: ${what}`,
});

interface Highest {
  /** 0 = signed without an epoch. */
  readonly epoch: number;
  readonly digest: string;
}

export class Freshness {
  readonly #options: FreshnessOptions;
  readonly #highest = new Map<string, Highest>();
  #keySets: readonly Uint8Array[] = [];
  #learning: Promise<unknown> = Promise.resolve();

  constructor(options: FreshnessOptions) {
    this.#options = options;
  }

  /** The key documents that count, oldest first. */
  get keySets(): readonly Uint8Array[] {
    return this.#keySets;
  }

  /**
   * Loads what was in force before this start. Its signatures were checked then, and this machine's disk is trusted.
   */
  async remember(kept: RawPolicy | undefined, keySets = kept?.keySets ?? []): Promise<void> {
    for (const bytes of [kept?.shared, kept?.layer]) {
      const signed = bytes && signedIn(bytes);
      if (signed !== undefined) this.#raise(signed);
    }
    const trust = await this.#options.trust?.(keySets);
    if (trust === undefined) return;
    this.#keySets = trust.keySets;
    await this.#options.onTrust?.(trust);
  }

  /**
   * Learns from the source who may sign, whatever else it holds. A key document that counted once is never forgotten.
   * @param held the source's key documents; undefined = they were not read
   */
  learn(held: readonly Uint8Array[] | undefined): Promise<Learned> {
    const learned = this.#learning.then(() => this.#learn(held));
    this.#learning = learned.catch(() => {});
    return learned;
  }

  async #learn(held: readonly Uint8Array[] | undefined): Promise<Learned> {
    const { trust, onTrust } = this.#options;
    if (trust === undefined || held === undefined) return { notices: [], changed: false };
    const before = this.#keySets;
    const found = held.filter((each) => !before.some((old) => sameBytes(old, each)));
    if (held.length === 0 && before.length > 0)
      return { notices: [unsignedRemoval(keySetKey, keysStay)], changed: false };
    if (found.length === 0) return { notices: [], changed: false };
    const next = await this.#follow(trust, found);
    const changed = next.keySets.at(-1) !== before.at(-1);
    if (changed) {
      this.#keySets = next.keySets;
      await onTrust?.(next);
    }
    return { notices: next.problems, changed };
  }

  /** Remembers the epochs of a policy that is not in force yet: nothing older will be accepted. Never rejects. */
  async rememberFloor(baseline: () => Promise<SourceReading>): Promise<void> {
    if (this.#options.trust === undefined) return;
    const reading = await baseline();
    if (reading.state !== "read") return;
    const policy = await this.#options
      .read({ ...reading.raw, keySets: this.#keySets })
      .catch(() => undefined);
    if (policy !== undefined) this.note(policy);
  }

  /** Reads a policy, and refuses one that is outdated or expired. */
  readonly read: PolicyReader = async (raw, signal) => {
    const policy = await this.#options.read(raw, signal);
    const problems = policy.signatures.flatMap((signed) => this.#problemsOf(signed));
    if (problems.length > 0) throw new PolicyRefused(problems);
    return policy;
  };

  /**
   * @param known the documents that were last in force
   * @returns the source's documents, with the layer that was removed without a signature
   */
  complete(raw: RawPolicy, known: RawPolicy | undefined): Completed {
    if (this.#options.trust === undefined) return { raw, notices: [] };
    const keySets = this.#keySets;
    const layerName = [...this.#highest].find(([name, { epoch }]) => name !== sharedKey && epoch > 0)?.[0];
    if (raw.layer !== undefined || known?.layer === undefined || layerName === undefined)
      return { raw: { ...raw, keySets }, notices: [] };
    const notices = [unsignedRemoval(layerName, layerStays)];
    return { raw: { ...raw, layer: known.layer, keySets }, notices };
  }

  /** @returns who may sign, with the key documents that were just found */
  async #follow(trust: TrustBy, found: readonly Uint8Array[]): Promise<Trust> {
    const before = await trust(this.#keySets);
    const after = await trust([...before.keySets, ...found]);
    if (after.epoch === before.epoch) return after;
    const least = await byFewest(after, trust);
    if (least.keySets.length <= maxKeySets) return least;
    // If one of them were dropped, the settings' keys would count again, revoked ones too. So the trust stays as it
    // was.
    return { ...before, problems: [{ path: "", document: keySetKey, message: tooMany }] };
  }

  /** Records the signatures of the policy that is now in force. */
  note({ signatures }: Pick<EffectivePolicy, "signatures">): void {
    for (const signed of signatures) this.#raise(signed);
  }

  /** @returns a problem for each document of the policy in force whose signature has expired */
  over({ signatures }: Pick<EffectivePolicy, "signatures">): readonly Problem[] {
    return signatures.flatMap(({ name, claims: { exp } }) => {
      if (exp === undefined || exp * 1000 > this.#options.now()) return [];
      const message = `was signed until ${timestamp(exp)}: the one in force stays, and new sidecars take it no more; sign it anew`;
      return [{ path: "", document: name, message }];
    });
  }

  #raise({ name, claims: { epoch = 0 }, digest }: SignedDocument): void {
    if (epoch >= (this.#highest.get(name)?.epoch ?? 0)) this.#highest.set(name, { epoch, digest });
  }

  #problemsOf({ name, claims: { epoch, exp }, digest }: SignedDocument): Problem[] {
    const problem = (message: string): Problem[] => [{ path: "", document: name, message }];
    const last = this.#highest.get(name);
    if (epoch === undefined && [...this.#highest.values()].some((each) => each.epoch > 0))
      return problem("is signed without an epoch, and one with an epoch has been in force: sign it anew");
    if (last !== undefined && (epoch ?? 0) < last.epoch)
      return problem(`is of epoch ${epoch}, and one of epoch ${last.epoch} has been in force: sign it anew`);
    const sameEpoch = last !== undefined && (epoch ?? 0) === last.epoch;
    if (sameEpoch && last.epoch > 0 && last.digest !== digest)
      return problem(`is of epoch ${epoch}, as another one that has been in force: sign it anew`);
    const wasInForce = sameEpoch && last.digest === digest;
    if (exp !== undefined && exp * 1000 <= this.#options.now() && !wasInForce)
      return problem(`was signed until ${timestamp(exp)}, and was not in force by then: sign it anew`);
    return [];
  }
}

const timestamp = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** Reads a document's claims without checking them; undefined = it is not signed. */
function signedIn(bytes: Uint8Array): SignedDocument | undefined {
  const token = compactJws(bytes, Math.max(defaultMaxBytes, bytes.byteLength));
  if (token === undefined) return undefined;
  try {
    const claims = readClaims(token);
    return claims.for === undefined
      ? undefined
      : { name: claims.for, claims, digest: digestOf(payloadOf(token)) };
  } catch {
    return undefined;
  }
}
