// Coordinates through Redis the refresh of a session among sidecars. A rotating refresh token may be used only once, so
// one sidecar uses it under a short lease and the others take over the result.
import type { Services } from "../../../src/plugin-api/contract.ts";
import { refreshDigest, type Session, type SessionSeal } from "./session-seal.ts";
import { keepMs, type SessionRefreshes } from "./session-refreshes.ts";

const pollMs = 50;

export class SessionCoordination {
  readonly #services: Services;
  readonly #seal: SessionSeal;
  /** Longer than a refresh takes: the metadata, the tokens and the check of the ID token, each within the time limit. */
  readonly #leaseMs: number;
  /** Of this process. */
  readonly #here: SessionRefreshes;

  constructor(services: Services, seal: SessionSeal, timeoutMs: number, here: SessionRefreshes) {
    this.#services = services;
    this.#seal = seal;
    this.#here = here;
    this.#leaseMs = timeoutMs * 3 + 1_000;
  }

  /**
   * Refreshes a session once in the whole fleet.
   * @param renew asks the provider
   * @returns the new session, from here or from another sidecar. Rejects as `renew` does, with `StoreUnavailable`, or
   * when another sidecar takes too long.
   */
  async once(session: Session, refreshToken: string, renew: () => Promise<Session>): Promise<Session> {
    const digest = refreshDigest(session, refreshToken);
    const { done, running } = this.#here;
    const known = done.get(digest);
    if (known !== undefined) return known;
    let refresh = running.get(digest);
    if (refresh === undefined) {
      refresh = this.#once(digest, session, renew).finally(() => running.delete(digest));
      running.set(digest, refresh);
    }
    return await refresh;
  }

  async #once(digest: string, session: Session, renew: () => Promise<Session>): Promise<Session> {
    const { store, fleet, clock } = this.#services;
    if (store === undefined) return this.#keep(digest, await renew());
    const resultKey = `session-refreshed:${digest}`;
    const leaseKey = `session-lease:${digest}`;
    // Others can write to Redis, so only a result that is sealed for this refresh counts.
    const resultOf = async (): Promise<Session | undefined> => {
      const sealed = await store.get(resultKey);
      return sealed === null ? undefined : await this.#seal.fromFleet(sealed, digest, session);
    };
    const endMono = clock.mono() + this.#leaseMs;
    for (;;) {
      const result = await resultOf();
      if (result !== undefined) return this.#keep(digest, result);
      if (await store.set(leaseKey, fleet.instance, { ttlMs: this.#leaseMs, ifAbsent: true })) break;
      if (clock.mono() > endMono) throw new Error("another sidecar refreshes for too long");
      await new Promise<void>((resolve) => setTimeout(resolve, pollMs).unref());
    }
    try {
      // The lease may be free because another sidecar has just finished.
      const found = await resultOf();
      if (found !== undefined) return this.#keep(digest, found);
      const renewed = this.#keep(digest, await renew());
      await this.#tell(resultKey, await this.#seal.forFleet(renewed, digest));
      return renewed;
    } finally {
      await store.delete(leaseKey).catch(() => 0);
    }
  }

  /**
   * Tells other sidecars the result. Never rejects: the old refresh token is spent, so the new session must reach the
   * browser even if nobody else hears of it.
   */
  async #tell(resultKey: string, sealed: string): Promise<void> {
    try {
      await this.#services.store?.set(resultKey, sealed, { ttlMs: keepMs });
    } catch (error) {
      this.#services.logger.warn({ err: error }, "a refreshed session could not be told to other sidecars");
    }
  }

  #keep(digest: string, session: Session): Session {
    this.#here.done.set(digest, session);
    return session;
  }
}
