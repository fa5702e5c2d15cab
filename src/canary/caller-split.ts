// Chooses the callers that get the candidate, where each sidecar gives it a part of its traffic. A caller is chosen by
// its proven identity, else by its address. The policy in force takes a credential's first request here, and only then
// is it known whom the credential proves. An unproven claim (a token's `sub`, for example) chooses nothing.
import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { networkReader } from "../language/network.ts";
import type { Identity } from "../plugin-api/contract.ts";
import { placeOf } from "./share.ts";

/**
 * Callers count by IPv6 network: someone with one address has the whole network, and could try addresses until one is
 * chosen.
 */
const networkOf = networkReader(64);
const maxCredentials = 20_000;
const maxCallers = 20_000;

export class CallerSplit {
  readonly #id: string;
  /** The caller that a credential proves, by the credential's hash. */
  readonly #subjects = new LRUCache<string, string>({ max: maxCredentials });
  /** Credentials that proved nobody. They have a cache of their own, so that made-up ones cannot evict proven ones. */
  readonly #unproven = new LRUCache<string, string>({ max: maxCredentials });
  readonly #places = new LRUCache<string, number>({ max: maxCallers });

  constructor(id: string) {
    this.#id = id;
  }

  /**
   * @param credential hash of the request's credentials; undefined = it has none
   * @returns from 0 to 1; 1 = the caller is not known yet
   */
  place(credential: string | undefined, address: string): number {
    if (credential === undefined) return this.#placeOf(byAddress(address));
    const subject = this.#subjects.get(credential) ?? this.#unproven.get(credential);
    return subject === undefined ? 1 : this.#placeOf(subject);
  }

  /** @param identity undefined = the credential proved nobody */
  learn(credential: string | undefined, address: string, identity: Identity | undefined): void {
    if (credential === undefined || this.#subjects.has(credential)) return;
    if (identity !== undefined)
      this.#subjects.set(credential, JSON.stringify(["subject", identity.issuer ?? "", identity.userId]));
    else if (!this.#unproven.has(credential)) this.#unproven.set(credential, byAddress(address));
  }

  #placeOf(who: string): number {
    let place = this.#places.get(who);
    if (place === undefined) this.#places.set(who, (place = placeOf(this.#id, who)));
    return place;
  }
}

const byAddress = (address: string): string => `address ${networkOf(address)}`;

/** @param shown names and values that may be credentials; undefined = the request has no such value */
export function credentialOf(shown: readonly (readonly [string, string | undefined])[]): string | undefined {
  const there = shown.filter(([, value]) => value !== undefined);
  return there.length === 0 ? undefined : hash("sha256", JSON.stringify(there), "base64");
}
