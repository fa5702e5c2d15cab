// Keeps the access tokens of sessions, for policies that exchange them for the service's token.
import type { Identity } from "../../../src/plugin-api/contract.ts";
import type { LoginOptions } from "../login/options.ts";
import { ProviderDown, type Tokens } from "../login/provider.ts";
import type { Session } from "./session-seal.ts";

export interface KeptToken {
  /** undefined = the session began at a route that keeps none. */
  readonly token: string | undefined;
  /** When the session began (epoch ms). */
  readonly startedMs: number;
}

export class AccessTokens {
  readonly #isKept: boolean;
  // An identity lives as long as its session is cached.
  readonly #known = new WeakMap<Identity, KeptToken>();

  constructor({ keepAccessToken }: LoginOptions) {
    this.#isKept = keepAccessToken;
  }

  /**
   * @returns the access token for a session to keep, if the policy wants one
   * @throws ProviderDown when it wants one and the answer has none
   */
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
