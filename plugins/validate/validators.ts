// Compiles each set of options once for all routes and policies that share it, and keeps it while one of them uses it.
import { hash } from "node:crypto";
import type { ValidateOptions } from "./options.ts";
import type { Validator } from "./validator.ts";

interface Held {
  readonly validator: Promise<Validator>;
  users: number;
}

// ajv is loaded only where a policy validates.
async function create(options: ValidateOptions): Promise<Validator> {
  const { createValidator } = await import("./validator.ts");
  return createValidator(options);
}

export class Validators {
  readonly #held = new Map<string, Held>();

  /** Rejects when the options cannot be compiled. Call `release` at the end of every use. */
  async acquire(options: ValidateOptions): Promise<{ validator: Validator; release: () => void }> {
    const digest = hash("sha256", JSON.stringify(options), "base64url");
    const held = this.#held.get(digest) ?? { validator: create(options), users: 0 };
    this.#held.set(digest, held);
    held.users += 1;
    const release = (): void => {
      held.users -= 1;
      if (held.users === 0) this.#held.delete(digest);
    };
    try {
      return { validator: await held.validator, release };
    } catch (error) {
      release();
      throw error;
    }
  }
}
