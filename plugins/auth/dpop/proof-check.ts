// Verifies the proof that the client holds the key of its bound token, by every step of RFC 9449 section 4.3.
import { hash } from "node:crypto";
import { compactVerify, importJWK, type CryptoKey } from "jose";
import {
  boundedCache,
  note,
  type Exchange,
  type ExchangeRequest,
  type ExchangeResponse,
  type Identity,
  type Services,
} from "../../../src/plugin-api/contract.ts";
import { refused, unavailable, type Refused, type Unavailable } from "../auth-result.ts";
import { shownWithProof } from "../credentials.ts";
import { issuersOf } from "../issuers/options.ts";
import type { Replays } from "../replays.ts";
import { Semaphore } from "../semaphore.ts";
import type { JwtOptions } from "../tokens/options.ts";
import type { DpopMode, DpopOptions } from "./options.ts";
import { readProof, type Proof } from "./proof.ts";
import { ProofNonces } from "./proof-nonces.ts";
import { PublicTargets } from "./public-targets.ts";

const maxKeys = 4_096;
const maxWaiting = 1_024;
const jtiText = /^[\x21-\x7e]{1,256}$/;

const bad = (what: string): Refused => ({ ...refused("jwt", `dpop proof: ${what}`), challenge: "proof" });
const noProof = bad("none");
const severalProofs = bad("several");
const otherAlgorithm = bad("alg");
const otherKey = bad("not by the key that the token is bound to");
const badSignature = bad("signature");
const seenBefore = bad("seen before (jti)");
const cannotTell = unavailable("jwt", "dpop proof: redis is out of reach, so it may have been seen before");
const tooManyKept = unavailable("jwt", "dpop proof: more of them than can be remembered", "overloaded");
const tooMany = unavailable("jwt", "dpop proof: too many signatures to check", "overloaded");

/** Set when the answer is to bring a newer nonce. */
const renewed = note<true>("dpop nonce");

export class ProofCheck {
  readonly #options: DpopOptions;
  readonly #services: Services;
  readonly #replays: Replays;
  readonly #targets: PublicTargets;
  readonly #nonces: ProofNonces | undefined;
  readonly #modes: ReadonlyMap<string, DpopMode>;
  readonly #introspected: DpopMode;
  readonly #signatures: Semaphore;
  /** Imported keys from proofs, by algorithm and thumbprint. */
  readonly #keys = boundedCache<CryptoKey>(maxKeys);

  /** @throws Error when nonces are required and no key can seal them */
  constructor(jwt: JwtOptions, services: Services, replays: Replays) {
    this.#options = jwt.dpop;
    this.#services = services;
    this.#replays = replays;
    this.#targets = new PublicTargets(jwt.dpop.publicUrls);
    this.#modes = new Map(jwt.issuers.flatMap((each) => issuersOf(each).map((name) => [name, each.dpop])));
    this.#introspected = jwt.introspection?.dpop;
    this.#signatures = new Semaphore(jwt.maxVerifies, maxWaiting);
    if (!jwt.dpop.nonce) return;
    if (services.seals === undefined) throw new Error("jwt.dpop.nonce needs OUTRIGGER_STORE_KEYS");
    this.#nonces = new ProofNonces(services.seals.of("auth:dpop-nonce"), services.clock);
  }

  /** @returns whether the issuer of this identity's token has proofs off, accepted or required */
  modeOf({ method, issuer }: Identity): DpopMode {
    if (method === "introspection") return this.#introspected;
    return issuer === undefined ? undefined : this.#modes.get(issuer);
  }

  /** The nonce for the next proof; undefined where none is required. */
  get nonce(): string | undefined {
    return this.#nonces?.current();
  }

  get givesNonces(): boolean {
    return this.#nonces !== undefined;
  }

  close(): void {}

  /** @returns the token of `Authorization: DPoP` */
  shown(request: ExchangeRequest): string | undefined {
    return shownWithProof(request);
  }

  /**
   * @param jkt the key that the token is bound to; the token itself has been found good
   * @param again a check of an exchange that goes on: whether proof and request still fit, whatever the time
   * @returns why the request is refused; undefined = the sender holds the key
   */
  check(
    exchange: Exchange,
    token: string,
    jkt: string,
    again: boolean,
  ): Refused | Promise<Refused | Unavailable | undefined> {
    const fields = exchange.request.fields.getAll("dpop");
    const [text] = fields;
    if (text === undefined) return noProof;
    if (fields.length > 1) return severalProofs;
    const proof = readProof(text);
    if (typeof proof === "string") return bad(proof);
    const fault = this.#fault(proof, exchange.request, token, jkt, again);
    if (fault !== undefined) return fault;
    return this.#verify(exchange, text, proof, again);
  }

  /** Adds a newer nonce to the answer when the client's own is over soon (section 8.2). */
  onResponse(exchange: Exchange, { fields }: ExchangeResponse): void {
    if (this.#nonces !== undefined && renewed.get(exchange) === true)
      fields.set("DPoP-Nonce", this.#nonces.current());
  }

  /** Checks everything but the signature and replay. The numbers are the steps of section 4.3. */
  #fault(
    proof: Proof,
    request: ExchangeRequest,
    token: string,
    jkt: string,
    again: boolean,
  ): Refused | undefined {
    const { htm, htu, iat, jti, ath, nonce } = proof.claims;
    // 5
    if (!(this.#options.algorithms as readonly string[]).includes(proof.algorithm)) return otherAlgorithm;
    // 12: before the signature, so that nobody without a good token that is bound to this key causes a verification.
    if (proof.jkt !== jkt) return otherKey;
    if (ath !== hash("sha256", token, "base64url")) return bad("ath");
    // 8 and 9
    if (htm !== request.method) return bad("htm");
    if (typeof htu !== "string" || !this.#targets.holds(htu, request)) return bad("htu");
    // 3
    if (typeof jti !== "string" || !jtiText.test(jti)) return bad("jti");
    if (typeof iat !== "number") return bad("iat");
    if (again) return undefined;
    // 11
    const { maxAgeSeconds, clockToleranceSeconds: leeway } = this.#options;
    const age = this.#services.clock.now() / 1000 - iat;
    if (!(age >= -leeway)) return bad("iat: made in the future");
    if (!(age <= maxAgeSeconds + leeway)) return bad("iat: too old");
    // 10
    if (this.#nonces === undefined || this.#nonces.isGood(nonce)) return undefined;
    return { ...bad("nonce"), challenge: "nonce" };
  }

  /** Step 7, and that the proof was not seen before (section 11.1). */
  async #verify(
    exchange: Exchange,
    text: string,
    { algorithm, jwk, jkt, claims }: Proof,
    again: boolean,
  ): Promise<Refused | Unavailable | undefined> {
    const good = await this.#signatures.run(() => this.#verifies(text, algorithm, jwk, jkt));
    if (good === undefined) return tooMany;
    if (!good) return badSignature;
    if (again) return undefined;
    const { maxAgeSeconds, clockToleranceSeconds, onStoreError } = this.#options;
    // From the most future `iat` that is accepted to the end of the proof's life.
    const lifeMs = (maxAgeSeconds + 2 * clockToleranceSeconds) * 1000;
    const shown = await this.#replays.show(["dpop", jkt], String(claims["jti"]), lifeMs, onStoreError);
    if (shown === "again") return seenBefore;
    if (shown === "unknown") return cannotTell;
    if (shown === "full") return tooManyKept;
    if (this.#nonces !== undefined && claims["nonce"] !== this.#nonces.current()) renewed.set(exchange, true);
    return undefined;
  }

  async #verifies(text: string, algorithm: string, jwk: Proof["jwk"], jkt: string): Promise<boolean> {
    try {
      const name = `${algorithm} ${jkt}`;
      let key = this.#keys.get(name);
      if (key === undefined) {
        const imported = await importJWK(jwk, algorithm);
        if (imported instanceof Uint8Array) return false;
        key = imported;
        this.#keys.set(name, key);
      }
      await compactVerify(text, key, { algorithms: [algorithm] });
      return true;
    } catch {
      return false;
    }
  }
}
