// Reads and changes policies in Redis for `outrigger sync`, by the same steps as `policy apply`.
import { loadConfig } from "../app/environment.ts";
import { ConfigError } from "../config/config.ts";
import { converge } from "../plane/converge.ts";
import { CanaryRuns } from "../plane/canary.ts";
import { ChangeConflict, OutcomeUnknown } from "../plane/history.ts";
import type { Finding } from "../plane/lint/finding.ts";
import { KeyFileRefusal, readSigningKey } from "../plane/private-key.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import { PolicyRefused, type Problem, problemText } from "../policy/document/problems.ts";
import { compactJws, readClaims } from "../policy/signature/jws.ts";
import type { Declared } from "../sync/declared.ts";
import type { Spread } from "../sync/outcome.ts";
import {
  type Applied,
  declaredIn,
  type PolicyPlace,
  type Refusal,
  type Standing,
  type Synced,
} from "../sync/reconcile.ts";
import { documentOver, putInForce, refuseUnsigned, tested } from "./policy-change.ts";
import { checkCandidate } from "./policy-file.ts";
import { PolicyPackages } from "./policy-packages.ts";
import { epochIn, isSigned, type Place, signedOver } from "./policy-signed.ts";
import type { SigningWish } from "./signing-options.ts";
import type { Terminal } from "./terminal.ts";
import { linesOf, type Plane, PlaneRefusal } from "./with-plane.ts";

export interface PlacePlan {
  readonly wish: SigningWish | undefined;
  readonly strict: boolean;
}

/** How many services' settings are cached. */
const maxConfigs = 2_000;

export class PlanePlace implements PolicyPlace {
  readonly #terminal: Terminal;
  readonly #plane: Plane;
  readonly #plan: PlacePlan;
  readonly #configs = new Map<string, Plane["config"]>();

  constructor(terminal: Terminal, plane: Plane, plan: PlacePlan) {
    this.#terminal = terminal;
    this.#plane = plane;
    this.#plan = plan;
  }

  async standing(service: string | undefined): Promise<Standing> {
    const { revision, digest, head, recorded, document } = await this.#plane.history.peek(service);
    const declared = head === undefined ? undefined : declaredIn(head.reason);
    const reason = head === undefined || head.reason === "" ? "" : ` (${head.reason})`;
    return {
      revision,
      digest,
      by: recorded
        ? `revision ${revision} by ${head?.author ?? "?"} at ${head?.at ?? "?"}${reason}`
        : "by a plain SET or DEL in Redis",
      synced:
        head === undefined
          ? undefined
          : declared === undefined
            ? await this.#lastSynced(service)
            : { declared, revision: head.revision, digest: head.digest },
      isUnsigned: document !== undefined && (await this.#isUnsigned(document)),
    };
  }

  /**
   * Whether the document must be signed again, judged by the key id that it claims; the steps that sign it verify more.
   * When the key cannot be read, nothing can be signed again.
   */
  async #isUnsigned(document: Buffer): Promise<boolean> {
    const { wish } = this.#plan;
    if (wish === undefined) return false;
    const token = compactJws(document, document.byteLength);
    if (token === undefined) return true;
    try {
      const { kid } = await readSigningKey(wish.keyFile);
      return readClaims(token).kid !== kid;
    } catch (error) {
      if (error instanceof KeyFileRefusal) return false;
      if (error instanceof PolicyRefused) return true;
      throw error;
    }
  }

  async apply({ origin, service, bytes, format }: Declared, reason: string): Promise<Applied> {
    const { wish, strict } = this.#plan;
    const config = this.#configOf(service);
    const plane = { ...this.#plane, config, packages: new PolicyPackages(config, this.#plane.store) };
    await plane.canaries.makeWay();
    const before = await plane.history.current(service, plane.author);
    const found = { name: origin, bytes, format };
    const signatures = wish === undefined ? "asked" : "ignored";
    const candidate = await checkCandidate(plane, found, service, signatures);
    const lint = await tested(plane, candidate, service, origin);
    if (strict && lint.findings.length > 0) throw new PolicyRefused(lint.findings.map(asProblem));
    refuseUnsigned(candidate.extensions, { name: origin, bytes: candidate.bytes }, service, wish);
    const place = { service, before };
    const document = await documentOver(plane, candidate.bytes, wish, place);
    const { revision, digest } = await putInForce(plane, document, place, reason);
    return { revision, digest, warnings: lint.findings.map((finding) => problemText(asProblem(finding))) };
  }

  async remove(service: string, over: Standing, reason: string): Promise<number> {
    const plane = { ...this.#plane, config: this.#configOf(service) };
    const { history, canaries, author } = plane;
    await canaries.makeWay();
    const before = await history.current(service, author);
    const { revision: base } = over;
    const document = await this.#inPlaceOf(plane, { service, before });
    const signedEpoch = document && epochIn(document);
    const change = { document, kind: "apply", author, reason, base, signedEpoch } as const;
    return (await history.change(service, change)).revision;
  }

  /**
   * Sidecars that require signatures keep a layer whose key is merely deleted, so what replaces it must be signed as
   * well.
   */
  async #inPlaceOf(plane: Plane, place: Place): Promise<Buffer | undefined> {
    const { wish } = this.#plan;
    if (wish !== undefined) return await signedOver(plane, { apiVersion: "outrigger/v1" }, wish, place);
    const { document } = place.before;
    if (document === undefined || !isSigned(document)) return undefined;
    throw new PlaneRefusal(
      "it is signed, and sidecars keep it until one that is signed and empty takes its place: run sync with --key, or apply such a one",
    );
  }

  async spread(service: string | undefined, digest: string): Promise<Spread> {
    const { concerned, inForce, refused, namesakes } = await converge(
      this.#plane.store,
      { service, digest, atMs: 0 },
      { limitMs: 0, signal: new AbortController().signal, onProgress: () => {} },
    );
    const names = refused.slice(0, 10).map((each) => {
      return `${each.service}/${each.instance} refuses it: ${each.problems[0] ?? "?"}`;
    });
    return { concerned, inForce, refused: names, namesakes: namesakes.slice(0, 10) };
  }

  explain(error: unknown): Refusal | undefined {
    if (error instanceof PolicyRefused) return refusalOf(error.problems);
    const lines = linesOf(error);
    const isPassing =
      error instanceof CanaryRuns ||
      error instanceof ChangeConflict ||
      error instanceof OutcomeUnknown ||
      error instanceof StoreUnavailable;
    const text =
      lines?.join("; ") ?? (error instanceof StoreUnavailable ? `Redis: ${error.message}` : undefined);
    if (text === undefined) return undefined;
    return { state: isPassing ? "waiting" : "refused", message: text, problems: [] };
  }

  /** Finds the last synced revision in the history, when the last revision is somebody else's. */
  async #lastSynced(service: string | undefined): Promise<Synced | undefined> {
    for (const { reason, revision, digest } of await this.#plane.history.list(service)) {
      const declared = declaredIn(reason);
      if (declared !== undefined) return { declared, revision, digest };
    }
    return undefined;
  }

  /** @throws PlaneRefusal when it is no valid name of a service */
  #configOf(service: string | undefined): Plane["config"] {
    if (service === undefined) return this.#plane.config;
    const known = this.#configs.get(service);
    if (known !== undefined) return known;
    try {
      const config = loadConfig({ ...this.#terminal.env, OUTRIGGER_SERVICE: service });
      if (this.#configs.size >= maxConfigs) this.#configs.clear();
      this.#configs.set(service, config);
      return config;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new PlaneRefusal(`it is for no service's name: ${error.message.replaceAll("\n", "; ")}`);
    }
  }
}

const asProblem = ({ advice, code, ...finding }: Finding): Problem => ({
  ...placed(finding),
  message: `${finding.message}; ${advice} [${code}]`,
});

/** A document that came from one object has only one line: then the path shows the place instead. */
function placed({ path, message, line, column }: Problem): Problem {
  return line === undefined || line === 1 ? { path, message } : { path, message, line, column: column ?? 1 };
}

function refusalOf(problems: readonly Problem[]): Refusal {
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  const [first = { path: "", message: "" }] = problems;
  return {
    state: "refused",
    message: `refused: ${problemText(placed(first))}${more}; what is in force stays`,
    problems: problems.map(({ path, message }) => ({ path, message })),
  };
}
