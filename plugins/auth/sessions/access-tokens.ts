// The access tokens of sessions, where a policy has them exchanged for the service's.
import type { Identity } from "../../../src/plugin-api/contract.ts";
import type { LoginOptions } from "../login/options.ts";
import { ProviderDown, type Tokens } from "../login/provider.ts";
import type { Session } from "./session-seal.ts";

export interface KeptToken {
  /** undefined = the session began where none is kept. */
  readonly token: string | undefined;
  /** Epoch milliseconds at which the session began. */
  readonly startedMs: number;
}

export class AccessTokens {
  readonly #isKept: boolean;
  // Identities live as long as the session is remembered.
  readonly #known = new WeakMap<Identity, KeptToken>();

  constructor({ keepAccessToken }: LoginOptions) {
    this.#isKept = keepAccessToken;
  }

  /** What a session is to keep of the provider's answer. @throws ProviderDown when it should and there is none */
  kept({ accessToken }: Tokens): string | undefined {
    if (!this.#isKept) return undefined;
    if (accessToken === undefined) throw new ProviderDown("the token endpoint gave no access token");
    return accessToken;
  }

  set(identity: Identity, { accessToken: token, startedMs }: Session): void {
    if (this.#isKept) this.#known.set(identity, { token, startedMs });
  }

  of(identity: Identity): KeptToken | undefined {
    return this.#known.get(identity);
  }
}
