// Caches an issuer's keys in Redis, so that one sidecar asks the issuer and the others of its service read them there.
// Anyone with write access to Redis could plant keys, so a copy counts only under a seal. Without OUTRIGGER_STORE_KEYS
// there is no cache.
import { hash } from "node:crypto";
import { z } from "zod";
import type { Services, Store, StoreSeal } from "../../../src/plugin-api/contract.ts";

export interface SharedKeys {
  /** The key set's JSON. */
  readonly json: string;
  /** When the issuer sent the keys (epoch ms). */
  readonly fetchedAtMs: number;
}

const copyShape = z.strictObject({ url: z.string(), fetchedAtMs: z.number(), jwks: z.string() });

/** Stores for which a log line has said that keys are not shared. */
const told = new WeakSet<Store>();

/**
 * @param subject identifies the key set: where the issuer's keys are, and anything else that tells two sets apart
 * @param keepMs how long after its fetch a copy counts
 * @returns undefined without Redis or without a seal
 */
export function openSharedJwksCache(
  services: Services,
  subject: string,
  keepMs: number,
): SharedJwksCache | undefined {
  const { store, seals, logger } = services;
  if (store === undefined) return undefined;
  if (seals !== undefined)
    return new SharedJwksCache({ ...services, store, seal: seals.of("jwks") }, subject, keepMs);
  if (!told.has(store))
    logger.info({}, "issuers' keys are not shared through Redis: set OUTRIGGER_STORE_KEYS");
  told.add(store);
  return undefined;
}

type Parts = Pick<Services, "fleet" | "clock"> & { readonly store: Store; readonly seal: StoreSeal };

export class SharedJwksCache {
  readonly #parts: Parts;
  readonly #subject: string;
  readonly #key: string;
  readonly #lease: string;
  readonly #keepMs: number;

  constructor(parts: Parts, subject: string, keepMs: number) {
    this.#parts = parts;
    this.#subject = subject;
    const name = `${parts.fleet.service}:${hash("sha256", subject, "hex")}`;
    this.#key = `jwks:${name}`;
    this.#lease = `jwks-lease:${name}`;
    this.#keepMs = keepMs;
  }

  /** @returns undefined when there is no copy that can be trusted. Rejects when Redis is out of reach. */
  async read(): Promise<SharedKeys | undefined> {
    const { store, seal, clock } = this.#parts;
    const sealed = await store.getBytes(this.#key);
    const bytes = sealed === null ? undefined : seal.open(this.#key, sealed, clock.now());
    if (bytes === undefined) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString());
    } catch {
      return undefined;
    }
    const copy = copyShape.safeParse(value);
    if (!copy.success || copy.data.url !== this.#subject) return undefined;
    return { json: copy.data.jwks, fetchedAtMs: copy.data.fetchedAtMs };
  }

  async write({ fetchedAtMs, json }: SharedKeys): Promise<void> {
    const { store, seal } = this.#parts;
    const copy = Buffer.from(JSON.stringify({ url: this.#subject, fetchedAtMs, jwks: json }));
    const sealed = seal.seal(this.#key, copy, fetchedAtMs + this.#keepMs);
    await store.set(this.#key, sealed, { ttlMs: this.#keepMs });
  }

  /** @returns whether this sidecar is the one that asks the issuer during the next `ttlMs` */
  async lease(ttlMs: number): Promise<boolean> {
    const { store, fleet } = this.#parts;
    return await store.set(this.#lease, fleet.instance, { ttlMs, ifAbsent: true });
  }

  /**
   * Calls back when a sidecar has written the keys.
   * @returns a function that stops it
   */
  watch(onWrite: () => void): () => void {
    return this.#parts.store.watch("jwks:", (key) => {
      if (key === this.#key) onWrite();
    });
  }
}
