// Tells the service who calls, in a short-lived signed JWT, which also proves that the request came through the
// sidecar.
import { createPublicKey, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint, SignJWT, type JWK } from "jose";
import { claimAt } from "../../../src/language/claim-path.ts";
import type { Identity, Services } from "../../../src/plugin-api/contract.ts";
import { readPrivateKey } from "./assertion-key.ts";
import type { AssertionOptions } from "./options.ts";

interface Signed {
  readonly jwt: string;
  readonly reuseUntilMs: number;
}

export class Assertion {
  readonly header: string;
  /** The public key (RFC 7517) with which the service verifies. */
  readonly jwk: JWK;
  readonly #options: AssertionOptions;
  readonly #services: Services;
  readonly #key: KeyObject;
  readonly #kid: string;
  // A cached identity keeps its assertion, and both are dropped together.
  readonly #signed = new WeakMap<Identity, Signed>();
  readonly #running = new WeakMap<Identity, Promise<string>>();

  private constructor(
    options: AssertionOptions,
    services: Services,
    key: KeyObject,
    jwk: JWK & { kid: string },
  ) {
    this.header = options.header;
    this.jwk = jwk;
    this.#options = options;
    this.#services = services;
    this.#key = key;
    this.#kid = jwk.kid;
  }

  /**
   * Rejects when the key is not set, cannot be read, or does not fit the algorithm. The message never shows the key.
   */
  static async create(options: AssertionOptions, services: Services): Promise<Assertion> {
    const secret = services.secrets.get(options.key);
    if (secret === undefined) throw new Error(`assertion.key: OUTRIGGER_${options.key} is not set`);
    let key: KeyObject;
    let jwk: JWK;
    try {
      key = readPrivateKey(secret);
      jwk = createPublicKey(key).export({ format: "jwk" }) as JWK;
    } catch {
      throw new Error(`assertion.key: OUTRIGGER_${options.key} holds no private key in PKCS #8 PEM or JWK`);
    }
    const kid = await calculateJwkThumbprint(jwk);
    const published = { ...jwk, kid, alg: options.algorithm, use: "sig" };
    const assertion = new Assertion(options, services, key, published);
    try {
      await assertion.#sign({
        userId: "-",
        plan: undefined,
        scopes: [],
        roles: [],
        method: "none",
        credentialId: undefined,
        claims: {},
      });
    } catch {
      throw new Error(`assertion.key: OUTRIGGER_${options.key} does not fit ${options.algorithm}`);
    }
    return assertion;
  }

  /** Nothing to release. */
  close(): void {}

  /** @returns an assertion made before that is still fresh; undefined = call `make` */
  getCached(identity: Identity): string | undefined {
    const signed = this.#signed.get(identity);
    return signed !== undefined && this.#services.clock.now() < signed.reuseUntilMs ? signed.jwt : undefined;
  }

  make(identity: Identity): Promise<string> {
    let running = this.#running.get(identity);
    if (running === undefined) {
      running = this.#sign(identity).finally(() => this.#running.delete(identity));
      this.#running.set(identity, running);
    }
    return running;
  }

  async #sign(identity: Identity): Promise<string> {
    const { algorithm, issuer, audience, lifetimeSeconds, claims } = this.#options;
    const nowMs = this.#services.clock.now();
    const nowSeconds = Math.floor(nowMs / 1000);
    const passed = claims
      .map((path) => [path, claimAt(identity.claims, path)] as const)
      .filter(([, value]) => value !== undefined);
    const payload = {
      ...(passed.length === 0 ? {} : { claims: Object.fromEntries(passed) as Record<string, unknown> }),
      plan: identity.plan,
      scope: identity.scopes.join(" "),
      roles: identity.roles,
      method: identity.method,
    };
    const jwt = await new SignJWT(payload)
      .setProtectedHeader({ alg: algorithm, typ: "outrigger-identity+jwt", kid: this.#kid })
      .setIssuer(issuer)
      .setAudience(audience ?? this.#services.fleet.service)
      .setSubject(identity.userId)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(nowSeconds + lifetimeSeconds)
      .sign(this.#key);
    this.#signed.set(identity, { jwt, reuseUntilMs: nowMs + lifetimeSeconds * 500 });
    return jwt;
  }
}
