// An issuer's keys in Redis, so that one sidecar asks the issuer and the fleet reads. Whoever can write there can put
// keys in (as they can API keys): with OUTRIGGER_API_KEY_PEPPER set, a copy counts only with a MAC under it.
import { hash, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { Services, Store } from "../../src/pipeline/contract.ts";
import { parsePeppers, pepperedDigest } from "./key-format.ts";

export interface SharedKeys {
  /** The key set's JSON. */
  readonly json: string;
  /** Epoch milliseconds at which the issuer gave it. */
  readonly fetchedAtMs: number;
}

const copyShape = z.strictObject({
  url: z.string(),
  fetchedAtMs: z.number(),
  jwks: z.string(),
  mac: z.string().optional(),
});

export class JwksShare {
  readonly #store: Store;
  readonly #url: string;
  readonly #key: string;
  readonly #lease: string;
  readonly #instance: string;
  readonly #peppers: readonly string[];
  readonly #keepMs: number;

  /** @param url what the keys are of: one issuer's place of keys, with whatever else tells two apart */
  constructor(services: Services & { store: Store }, url: string, keepMs: number) {
    this.#store = services.store;
    this.#url = url;
    const digest = hash("sha256", url, "hex");
    this.#key = `jwks:${digest}`;
    this.#lease = `jwks-lease:${digest}`;
    this.#instance = services.fleet.instance;
    this.#peppers = parsePeppers(services.secrets.get("API_KEY_PEPPER"));
    this.#keepMs = keepMs;
  }

  /** @returns undefined when there is no copy, or none to believe. Rejects when Redis is out of reach. */
  async read(): Promise<SharedKeys | undefined> {
    const text = await this.#store.get(this.#key);
    if (text === null) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return undefined;
    }
    const copy = copyShape.safeParse(value);
    if (!copy.success || copy.data.url !== this.#url) return undefined;
    const { fetchedAtMs, jwks: json, mac } = copy.data;
    if (
      this.#peppers.length > 0 &&
      !this.#peppers.some((pepper) => sameText(mac ?? "", this.#mac(pepper, fetchedAtMs, json)))
    ) {
      return undefined;
    }
    return { json, fetchedAtMs };
  }

  async write(keys: SharedKeys): Promise<void> {
    const [pepper] = this.#peppers;
    const { fetchedAtMs, json } = keys;
    const mac = pepper === undefined ? undefined : this.#mac(pepper, fetchedAtMs, json);
    const copy = JSON.stringify({ url: this.#url, fetchedAtMs, jwks: json, mac });
    await this.#store.set(this.#key, copy, { ttlMs: this.#keepMs });
  }

  /** @returns whether this sidecar is the one to ask the issuer during the next `ttlMs` */
  async lease(ttlMs: number): Promise<boolean> {
    return await this.#store.set(this.#lease, this.#instance, { ttlMs, ifAbsent: true });
  }

  /** Calls back when another sidecar has written. */
  watch(onWrite: () => void): () => void {
    return this.#store.watch("jwks:", (key) => {
      if (key === this.#key) onWrite();
    });
  }

  #mac(pepper: string, fetchedAtMs: number, json: string): string {
    return pepperedDigest(`${this.#url}\n${fetchedAtMs}\n${json}`, pepper);
  }
}

function sameText(left: string, right: string): boolean {
  const a = Buffer.from(left);
  const b = Buffer.from(right);
  return a.length === b.length && timingSafeEqual(a, b);
}
