// Makes and checks the nonces that proofs must hold (RFC 9449 section 8), so that no proof can be made long in advance.
// Nothing is stored: each sidecar of the service recognises a nonce by its seal.
import type { Clock, StoreSeal } from "../../../src/plugin-api/contract.ts";

/** A nonce is good for this long, and is handed out during the first half. */
const nonceLifetimeMs = 300_000;
const purpose = "dpop-nonce";
const nonceText = /^[\w-]{1,200}$/;

export class ProofNonces {
  readonly #seal: StoreSeal;
  readonly #clock: Clock;
  #current = { nonce: "", untilMs: 0 };

  constructor(seal: StoreSeal, clock: Clock) {
    this.#seal = seal;
    this.#clock = clock;
  }

  /** @returns the nonce for the next proof, the same at every sidecar during the first half of its life */
  current(): string {
    const half = nonceLifetimeMs / 2;
    const untilMs = (Math.floor(this.#clock.now() / half) + 2) * half;
    if (this.#current.untilMs !== untilMs) {
      const sealed = this.#seal.seal(purpose, Buffer.alloc(0), untilMs);
      this.#current = { nonce: sealed.toString("base64url"), untilMs };
    }
    return this.#current.nonce;
  }

  isGood(nonce: unknown): boolean {
    if (nonce === this.current()) return true;
    if (typeof nonce !== "string" || !nonceText.test(nonce)) return false;
    const now = this.#clock.now();
    return this.#seal.open(purpose, Buffer.from(nonce, "base64url"), now) !== undefined;
  }
}
