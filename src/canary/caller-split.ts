// Which callers get the candidate where each sidecar gives it a part of its traffic: by who they are once that is proven,
// else by their address. Who a credential stands for is known after its first request here, which the policy in force
// takes; an unproven claim (a token's `sub`, say) chooses nothing.
import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { networkReader } from "../language/network.ts";
import type { Identity } from "../plugin-api/contract.ts";
import { placeOf } from "./share.ts";

/** Whoever has one address of an IPv6 network has them all, and could look for one that is served as he likes. */
const networkOf = networkReader(64);
const maxCredentials = 20_000;
const maxCallers = 20_000;

export class CallerSplit {
  readonly #id: string;
  /** By hash of the credential: who it stands for. */
  readonly #subjects = new LRUCache<string, string>({ max: maxCredentials });
  /** Those that proved nobody, by themselves: whoever makes many up drives out nobody's that count. */
  readonly #unproven = new LRUCache<string, string>({ max: maxCredentials });
  readonly #places = new LRUCache<string, number>({ max: maxCallers });

  constructor(id: string) {
    this.#id = id;
  }

  /**
   * @param credential hash of what the request shows; undefined = it shows none
   * @returns from 0 to 1; 1 = nobody knows yet who it is
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

/** @param shown names and values that may be credentials; undefined values are not there */
export function credentialOf(shown: readonly (readonly [string, string | undefined])[]): string | undefined {
  const there = shown.filter(([, value]) => value !== undefined);
  return there.length === 0 ? undefined : hash("sha256", JSON.stringify(there), "base64");
}
