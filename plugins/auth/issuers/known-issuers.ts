// Finds the issuer of a token by `iss`, among those the policy accepts. An entry for many tenants makes each tenant's
// issuer when its first token comes, so that a long allow-list fetches no keys in vain.
import type { Services } from "../../../src/plugin-api/contract.ts";
import { Issuer, type KeyMaterial } from "./issuer.ts";
import { JwksSource, skippedEntries } from "./jwks.ts";
import { KeySet, parseJwks } from "./key-set.ts";
import { perTenant, type IssuerOptions } from "./options.ts";
import type { JwtOptions } from "../tokens/options.ts";
import type { RefCountedPool } from "../ref-counted-pool.ts";

export class KnownIssuers {
  readonly #options: JwtOptions;
  readonly #services: Services;
  readonly #shared: RefCountedPool<JwksSource>;
  readonly #made = new Map<string, Issuer>();
  /** Bounded by the policy's allow-lists. */
  readonly #unmade = new Map<string, () => Issuer>();
  readonly #releases: (() => void)[] = [];
  readonly #sources: JwksSource[] = [];
  #closed = false;

  /** @throws Error when a secret that the options name is not set or too short */
  constructor(options: JwtOptions, services: Services, shared: RefCountedPool<JwksSource>) {
    this.#options = options;
    this.#services = services;
    this.#shared = shared;
    for (const entry of options.issuers) {
      const fixed = this.#fixedKeys(entry);
      for (const each of perTenant(entry)) {
        const make = (): Issuer => new Issuer(each, fixed ?? this.#fetchedKeys(entry, each), services.clock);
        if (entry.tenants === undefined) this.#made.set(each.issuer, make());
        else this.#unmade.set(each.issuer, make);
      }
    }
  }

  get none(): boolean {
    return this.#made.size + this.#unmade.size === 0;
  }

  /** @param iss from the token, unverified */
  find(iss: unknown): Issuer | undefined {
    if (typeof iss !== "string") return undefined;
    const made = this.#made.get(iss);
    if (made !== undefined || this.#closed) return made;
    const issuer = this.#unmade.get(iss)?.();
    if (issuer === undefined) return undefined;
    this.#unmade.delete(iss);
    this.#made.set(iss, issuer);
    return issuer;
  }

  health(): string | undefined {
    for (const source of this.#sources) {
      const fault = source.health();
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  close(): void {
    this.#closed = true;
    for (const release of this.#releases) release();
  }

  /** @returns keys from the policy or the environment; undefined = they have to be fetched */
  #fixedKeys(issuer: IssuerOptions): KeyMaterial | undefined {
    if (issuer.secret !== undefined) return { kind: "secret", secret: this.#secretOf(issuer, issuer.secret) };
    if (issuer.jwks === undefined) return undefined;
    const { jwks, skipped } = parseJwks(issuer.jwks);
    if (skipped.length > 0) this.#services.logger.warn({ issuer: issuer.issuer, skipped }, skippedEntries);
    return { kind: "set", set: new KeySet(jwks, 0) };
  }

  /** @param each one tenant of `entry`. Tenants with the same `jwksUri` share their keys. */
  #fetchedKeys(entry: IssuerOptions, each: IssuerOptions): KeyMaterial {
    const isShared = each.jwksUri !== undefined && each.jwksUri === entry.jwksUri;
    const settings = {
      issuer: isShared ? entry.issuer : each.issuer,
      jwksUri: each.jwksUri,
      refreshMs: this.#options.jwksRefreshSeconds * 1000,
      maxStaleMs: this.#options.jwksMaxStaleSeconds * 1000,
      cooldownMs: this.#options.jwksCooldownSeconds * 1000,
      timeoutMs: this.#options.jwksTimeoutMs,
      share: this.#options.shareKeys,
    };
    const { value: source, release } = this.#shared.acquire(
      settings,
      () => new JwksSource(settings, this.#services),
    );
    this.#releases.push(release);
    if (!this.#sources.includes(source)) this.#sources.push(source);
    return { kind: "source", source };
  }

  #secretOf(issuer: IssuerOptions, name: string): Uint8Array {
    const secret = this.#services.secrets.get(name);
    if (secret === undefined) throw new Error(`jwt.issuers: OUTRIGGER_${name} is not set`);
    const bytes = new TextEncoder().encode(secret);
    // RFC 7518 section 3.2: the key must be at least as long as the hash.
    const needed = Math.max(
      ...(issuer.algorithms ?? ["HS256"]).map((algorithm) => Number(algorithm.slice(2)) / 8),
    );
    if (bytes.length < needed)
      throw new Error(`jwt.issuers: OUTRIGGER_${name} needs at least ${needed} bytes`);
    return bytes;
  }
}
