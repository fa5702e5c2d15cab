// Checks tokens of one issuer: first everything that needs no cryptography, then the signature.
import { compactVerify, errors, type CryptoKey } from "jose";
import type { Clock } from "../../../src/plugin-api/contract.ts";
import { audienceFits, mapIdentity, missingClaim } from "../claims.ts";
import {
  accepted,
  refused,
  unavailable,
  type Accepted,
  type AuthMethod,
  type Refused,
  type Unavailable,
} from "../auth-result.ts";
import type { Semaphore } from "../semaphore.ts";
import { notLookedUp, type JwksSource, type Keys } from "./jwks.ts";
import type { KeyVersion, KeySet } from "./key-set.ts";
import type { IssuerOptions } from "./options.ts";
import { profileFault } from "../tokens/access-token-profile.ts";
import { claimedOtherUse } from "../tokens/token-use.ts";
import type { JsonObject, TokenParts } from "../tokens/token-parts.ts";

/** Where the keys are: published by the issuer, in the policy, or one shared secret. */
export type KeyMaterial =
  | { readonly kind: "source"; readonly source: JwksSource }
  | { readonly kind: "set"; readonly set: KeySet }
  | { readonly kind: "secret"; readonly secret: Uint8Array };

export interface SignatureValid {
  readonly result: Accepted;
  /** Epoch milliseconds at which the token ends. */
  readonly endsMs: number;
  readonly version: KeyVersion | undefined;
}
/** A refusal that holds as long as the issuer's keys stay the same. */
export interface SignatureInvalid {
  readonly result: Refused;
  readonly version: KeyVersion | undefined;
  /** Set when the refusal must not be cached: the key was not looked up, and the next check may find it. */
  readonly unremembered?: true;
}
export type SignatureVerdict = SignatureValid | SignatureInvalid | Unavailable;

/** A token whose signature is to be checked. */
interface Look {
  readonly token: string;
  readonly header: JsonObject;
  /** The result if the signature is good. */
  readonly result: Accepted;
  readonly endsMs: number;
  readonly semaphore: Semaphore | undefined;
  /** Keep this thread free: the caller has already made too many bad requests. */
  readonly elsewhere: boolean;
}

/** Headers that contain or point to a key. They are never trusted, and no honest issuer's token needs them. */
const keyHints = ["jwk", "jku", "x5u"];
/** Claims that show, when a policy requires one, that ID tokens are wanted. */
const idTokenClaims = ["token_use", "typ", "token_type", "azp"];
/** The end of the year 9999. Later dates make no sense. */
const lastSecond = 253_402_300_799;

function isDate(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= lastSecond;
}

export class Issuer {
  readonly options: IssuerOptions;
  readonly #keys: KeyMaterial;
  readonly #clock: Clock;
  readonly #algorithms: string[];
  readonly #types: ReadonlySet<string>;
  readonly #method: AuthMethod;
  readonly #takesIdTokens: boolean;
  readonly #outOfReach: Unavailable;
  readonly #badSignature: Refused;
  readonly #noKey: Refused;
  readonly #tooMany: Unavailable;

  /** @param method the method of the identities that its tokens give */
  constructor(options: IssuerOptions, keys: KeyMaterial, clock: Clock, method: AuthMethod = "jwt") {
    this.#method = method;
    this.#outOfReach = unavailable(method, "token: the issuer's keys are out of reach");
    this.#badSignature = refused(method, "token: signature");
    this.#noKey = refused(method, "token: unknown key");
    this.#tooMany = unavailable(method, "token: too many signatures to check", "overloaded");
    this.options = options;
    this.#keys = keys;
    this.#clock = clock;
    this.#algorithms =
      options.algorithms ?? (keys.kind === "secret" ? ["HS256"] : ["RS256", "ES256", "EdDSA"]);
    const { audience, requiredClaims } = options;
    this.#takesIdTokens =
      audience.length > 0 || idTokenClaims.some((name) => requiredClaims[name] !== undefined);
    this.#types = new Set(options.typ.map(shortType));
  }

  /**
   * Checks everything but the signature.
   * @returns why the token is refused; undefined = it is not
   */
  #fault({ header, claims }: TokenParts): string | undefined {
    const { options } = this;
    if (!this.#algorithms.includes(header["alg"] as string)) return "algorithm";
    // No critical header is understood here, so RFC 7515 section 4.1.11 demands a refusal. b64 (RFC 7797) is one, too.
    if (header["crit"] !== undefined || header["b64"] !== undefined) return "crit";
    if (keyHints.some((name) => header[name] !== undefined)) return "embedded key";
    const { kid, typ } = header;
    if (kid !== undefined && typeof kid !== "string") return "kid";
    if (typ !== undefined && (typeof typ !== "string" || !this.#types.has(shortType(typ)))) return "typ";
    const timeFault = this.#timeFault(claims) ?? this.#profileFault(typ, claims);
    if (timeFault !== undefined) return timeFault;
    const otherUse = this.#method === "jwt" ? claimedOtherUse(claims, this.#takesIdTokens) : undefined;
    if (otherUse !== undefined) return `${otherUse} is not of an access token`;
    if (!audienceFits(claims["aud"], options.audience)) return "audience";
    const missing = missingClaim(claims, options.requiredClaims);
    return missing === undefined ? undefined : `claim ${missing}`;
  }

  #profileFault(typ: string | undefined, claims: JsonObject): string | undefined {
    if (this.options.profile === undefined) return undefined;
    return profileFault(typ === undefined ? undefined : shortType(typ), claims);
  }

  #timeFault(claims: JsonObject): string | undefined {
    const { clockToleranceSeconds: tolerance, maxAgeSeconds, requireExp } = this.options;
    const now = this.#clock.now() / 1000;
    const { exp, nbf, iat } = claims;
    if (exp === undefined ? requireExp : !isDate(exp)) return "exp";
    if (isDate(exp) && exp + tolerance <= now) return "expired";
    if (nbf !== undefined && (!isDate(nbf) || nbf - tolerance > now)) return "not yet valid";
    if (iat !== undefined && (!isDate(iat) || iat - tolerance > now)) return "issued in the future";
    if (maxAgeSeconds === undefined) return undefined;
    return isDate(iat) && iat + maxAgeSeconds + tolerance > now ? undefined : "too old";
  }

  /** @returns when the claims end (epoch ms) */
  #endsMs(claims: JsonObject): number {
    const { exp, iat } = claims;
    const age = this.options.maxAgeSeconds;
    const ends = isDate(exp) ? exp : Infinity;
    return (age !== undefined && isDate(iat) ? Math.min(ends, iat + age) : ends) * 1000;
  }

  /** @returns the result without cryptography: a refusal, or the identity that a good signature would give */
  inspect(parts: TokenParts): Refused | Accepted {
    const fault = this.#fault(parts);
    if (fault !== undefined) return refused(this.#method, `token: ${fault}`);
    const identity = mapIdentity(parts.claims, this.options.claims, this.#method, this.options.issuer);
    return typeof identity === "string"
      ? refused(this.#method, `token: claim ${identity}`)
      : accepted(identity);
  }

  /** Whether the key of this token is in memory, so that no call is needed. */
  holdsKeyOf({ header }: TokenParts): boolean {
    const kid = header["kid"] as string | undefined;
    if (this.#keys.kind === "secret") return true;
    return this.#keys.kind === "set" ? this.#keys.set.mayHold(kid) : this.#keys.source.holds(kid);
  }

  /**
   * Verifies the signature of a token that `inspect` has accepted; synchronously when that is quick. Never rejects.
   * @param semaphore bounds only the cryptography: a token that waits for its issuer's keys takes no place
   * @param elsewhere other threads do all of the cryptography
   */
  verify(
    token: string,
    parts: TokenParts,
    result: Accepted,
    semaphore?: Semaphore,
    elsewhere = false,
  ): SignatureVerdict | Promise<SignatureVerdict> {
    const { header, claims } = parts;
    const look = { token, header, result, endsMs: this.#endsMs(claims), semaphore, elsewhere };
    if (this.#keys.kind === "secret") return this.#verifyBySecret(look, this.#keys.secret);
    if (this.#keys.kind === "set") return this.#verifyBySet(look, this.#keys.set);
    const keys = this.#keys.source.keysFor(header["kid"] as string | undefined);
    return keys instanceof Promise
      ? keys.then((late) => this.#verifyBySet(look, late))
      : this.#verifyBySet(look, keys);
  }

  async #verifyBySecret(
    { token, result, endsMs, semaphore }: Look,
    secret: Uint8Array,
  ): Promise<SignatureVerdict> {
    const good = await passing(semaphore, () => this.#verifies(token, secret));
    if (good === undefined) return this.#tooMany;
    return good ? { result, endsMs, version: undefined } : { result: this.#badSignature, version: undefined };
  }

  #verifyBySet(look: Look, set: Keys): SignatureVerdict | Promise<SignatureVerdict> {
    if (set === undefined) return this.#outOfReach;
    if (set === notLookedUp) return this.#notLookedUp();
    const { token, header, semaphore, elsewhere } = look;
    const kid = header["kid"] as string | undefined;
    if (!set.mayHold(kid)) return { result: this.#noKey, version: set.whole };
    const algorithm = header["alg"] as string;
    const isSigned = elsewhere ? undefined : set.cheapCheck(algorithm, kid);
    if (isSigned !== undefined) return this.#verdict(look, set, isSigned(token));
    const pooled = set.pooledCheck(algorithm, kid);
    return passing(semaphore, () => pooled?.(token) ?? this.#verifiesWith(token, set)).then((good) =>
      good === undefined ? this.#tooMany : this.#verdict(look, set, good),
    );
  }

  /**
   * Of a caller's token this is a refusal, which invites no flood. Tokens that the provider itself sends once (ID and
   * logout tokens) must not be lost: nobody can tell now.
   */
  #notLookedUp(): SignatureVerdict {
    if (this.#method === "session") return this.#outOfReach;
    return { result: this.#noKey, version: undefined, unremembered: true };
  }

  #verdict({ header, result, endsMs }: Look, set: KeySet, good: boolean): SignatureVerdict {
    return good
      ? { result, endsMs, version: set.versionOf(header["kid"] as string | undefined) }
      : { result: this.#badSignature, version: set.whole };
  }

  async #verifiesWith(token: string, set: KeySet): Promise<boolean> {
    try {
      await compactVerify(token, set.resolve, { algorithms: this.#algorithms });
      return true;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) return false;
      // Several keys fit (no kid, or the same kid twice), and any of them may have signed. A key set holds few keys.
      for await (const key of error) if (await this.#verifies(token, key)) return true;
      return false;
    }
  }

  async #verifies(token: string, key: Uint8Array | CryptoKey): Promise<boolean> {
    try {
      await compactVerify(token, key, { algorithms: this.#algorithms });
      return true;
    } catch {
      return false;
    }
  }
}

/** @returns undefined when the semaphore refuses */
function passing(
  semaphore: Semaphore | undefined,
  verifies: () => Promise<boolean>,
): Promise<boolean | undefined> {
  return semaphore === undefined ? verifies() : semaphore.run(verifies);
}

/** @returns the media type (RFC 7515 section 4.1.9) in lower case and without `application/`, which may be left out */
function shortType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, "");
}
