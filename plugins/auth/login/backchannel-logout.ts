// Serves the endpoint where the provider reports logouts (OpenID Connect Back-Channel Logout 1.0). The user's sessions
// end at every sidecar, those in cookies as well as those in Redis.
import {
  GatewayError,
  type Exchange,
  type Services,
  type Store,
  type Verdict,
} from "../../../src/plugin-api/contract.ts";
import { Semaphore } from "../semaphore.ts";
import type { JwksSource } from "../issuers/jwks.ts";
import { BadLogoutToken, logoutMaxAgeSeconds, LogoutTokens, type Logout } from "./logout-token.ts";
import type { LoginOptions } from "./options.ts";
import type { RevokedSessions } from "../sessions/revoked-sessions.ts";
import { endedPrefix } from "../sessions/session-marks.ts";

const maxBodyBytes = 32_768;
const maxChecks = 8;
const maxWaiting = 64;
const formType = /^application\/x-www-form-urlencoded(?:\s*;|$)/i;
const noStore = ["Cache-Control", "no-store"];

const done: Verdict = { action: "respond", status: 200, fields: noStore, body: "" };
const reject = (error: GatewayError): Verdict => ({ action: "reject", error });
const onlyPost = reject(
  new GatewayError("method_not_allowed", "This path takes POST.", { fields: ["Allow", "POST"] }),
);
const bad = reject(
  new GatewayError("malformed_request", "This is no logout token to rely on.", { fields: noStore }),
);
const notNow = reject(
  new GatewayError("dependency_unavailable", "The logout is not possible now.", {
    fields: [...noStore, "Retry-After", "1"],
  }),
);

export class BackchannelLogout {
  readonly #tokens: LogoutTokens;
  readonly #store: Store;
  readonly #revoked: RevokedSessions;
  readonly #semaphore = new Semaphore(maxChecks, maxWaiting);

  constructor(tokens: LogoutTokens, store: Store, revoked: RevokedSessions) {
    this.#tokens = tokens;
    this.#store = store;
    this.#revoked = revoked;
  }

  async serve(exchange: Exchange): Promise<Verdict> {
    const { method, fields } = exchange.request;
    if (method !== "POST") return onlyPost;
    if (!formType.test(fields.get("content-type") ?? "")) return this.#refuse(exchange, "not a form");
    const body = await exchange.readBody(maxBodyBytes);
    const values = new URLSearchParams(body.toString("latin1")).getAll("logout_token");
    const [token] = values;
    if (token === undefined || values.length > 1) return this.#refuse(exchange, "not one logout_token");
    try {
      const logout = await this.#semaphore.run(() => this.#tokens.verify(token));
      if (logout === undefined) return this.#uncertain(exchange, "the provider's keys are out of reach");
      return await this.#end(exchange, logout);
    } catch (error) {
      if (error instanceof BadLogoutToken) return this.#refuse(exchange, error.message);
      return this.#uncertain(exchange, "redis is out of reach");
    }
  }

  async #end(exchange: Exchange, { mark, jtiDigest }: Logout): Promise<Verdict> {
    const seen = `${endedPrefix}jti.${jtiDigest}`;
    // A replayed token must not end sessions that begin later.
    if ((await this.#store.get(seen)) !== null) return this.#refuse(exchange, "token: seen before");
    await this.#revoked.revoke(mark);
    // Last, because after a 503 the provider may send the same token again.
    await this.#store.set(seen, "1", { ttlMs: logoutMaxAgeSeconds * 2_000 });
    return done;
  }

  #refuse(exchange: Exchange, because: string): Verdict {
    exchange.refusedBecause = `back-channel logout: ${because}`;
    return bad;
  }

  #uncertain(exchange: Exchange, because: string): Verdict {
    exchange.refusedBecause = `back-channel logout: ${because}`;
    return notNow;
  }
}

/**
 * @returns undefined where no path is set
 * @throws Error when there is no Redis
 */
export function backchannelFor(
  options: LoginOptions,
  { store, clock, testRun }: Services,
  keys: JwksSource,
  revoked: RevokedSessions,
): BackchannelLogout | undefined {
  if (options.backchannelLogoutPath === undefined || testRun !== undefined) return undefined;
  // The provider tells one sidecar, once, and Redis passes it on to the others.
  if (store === undefined) throw new Error("jwt.login.backchannelLogoutPath needs REDIS_URL");
  const tokens = new LogoutTokens(options, keys, clock);
  return new BackchannelLogout(tokens, store, revoked);
}
