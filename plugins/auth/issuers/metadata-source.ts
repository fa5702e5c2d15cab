// Caches a provider's metadata. Concurrent callers share one fetch, and a failing provider is asked once a second.
import type { Services } from "../../../src/plugin-api/contract.ts";
import { discover, type ProviderMetadata } from "./discovery.ts";

const freshMs = 3_600_000;
const retryMs = 1_000;

export class MetadataSource {
  readonly #issuer: string;
  readonly #services: Services;
  readonly #timeoutMs: number;
  #known: { readonly value: ProviderMetadata; readonly untilMono: number } | undefined;
  #failed: { readonly error: unknown; readonly untilMono: number } | undefined;
  #running: Promise<ProviderMetadata> | undefined;

  constructor(issuer: string, services: Services, timeoutMs: number) {
    this.#issuer = issuer;
    this.#services = services;
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects as `discover` does, but only when there are no metadata at all, not even old ones. */
  async get(): Promise<ProviderMetadata> {
    const now = this.#services.clock.mono();
    if (this.#known !== undefined && now < this.#known.untilMono) return this.#known.value;
    if (this.#failed !== undefined && now < this.#failed.untilMono) return this.#stale(this.#failed.error);
    this.#running ??= this.#discover();
    return await this.#running;
  }

  async #discover(): Promise<ProviderMetadata> {
    const { clock, http } = this.#services;
    try {
      const value = await discover(this.#issuer, http, this.#timeoutMs);
      this.#known = { value, untilMono: clock.mono() + freshMs };
      this.#failed = undefined;
      return value;
    } catch (error) {
      this.#failed = { error, untilMono: clock.mono() + retryMs };
      return this.#stale(error);
    } finally {
      this.#running = undefined;
    }
  }

  /** Metadata that have expired are better than no login. */
  #stale(error: unknown): ProviderMetadata {
    if (this.#known === undefined) throw error;
    return this.#known.value;
  }
}
