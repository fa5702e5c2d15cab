// Verifies logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.4), in which the provider reports a logout.
import { hash } from "node:crypto";
import type { Clock } from "../../../src/plugin-api/contract.ts";
import { Issuer } from "../issuers/issuer.ts";
import type { JwksSource } from "../issuers/jwks.ts";
import type { LoginOptions } from "./options.ts";
import { providerSessionMark, subjectMark } from "../sessions/session-marks.ts";
import { decodeToken, isJsonObject, type JsonObject } from "../tokens/token-parts.ts";

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout";
/** The provider sends the token when it makes it. An older one may have been stolen. */
export const logoutMaxAgeSeconds = 300;
const clockToleranceSeconds = 10;

export interface Logout {
  /** Names the sessions that end (session-marks.ts). */
  readonly mark: string;
  /** Digest of the token's `jti`, with its issuer and client. */
  readonly jtiDigest: string;
}

/** Why a token is refused. The text is for the log. */
export class BadLogoutToken extends Error {
  override readonly name = "BadLogoutToken";
}

export class LogoutTokens {
  readonly #options: LoginOptions;
  readonly #issuer: Issuer;

  constructor(options: LoginOptions, keys: JwksSource, clock: Clock) {
    this.#options = options;
    const { issuer, algorithms, clientId } = options;
    // A logout token may lack a subject. The issuer takes its place, as an identity needs a user id.
    const claims = { ...options.claims, userId: "iss" };
    this.#issuer = new Issuer(
      {
        issuer,
        algorithms,
        audience: [clientId],
        claims,
        requiredClaims: {},
        discovery: true,
        clockToleranceSeconds,
        maxAgeSeconds: logoutMaxAgeSeconds,
        requireExp: true,
        typ: ["logout+jwt", "JWT"],
      },
      { kind: "source", source: keys },
      clock,
      "session",
    );
  }

  /** @returns undefined when the provider's keys are out of reach. Rejects with `BadLogoutToken`. */
  async verify(token: string): Promise<Logout | undefined> {
    const parts = decodeToken(token);
    if (typeof parts === "string") throw new BadLogoutToken("token: malformed");
    if (parts.claims["iss"] !== this.#options.issuer) throw new BadLogoutToken("token: issuer");
    const logout = this.#read(parts.claims);
    const inspected = this.#issuer.inspect(parts);
    if (inspected.kind === "refused") throw new BadLogoutToken(inspected.because);
    const verdict = await this.#issuer.verify(token, parts, inspected);
    if ("kind" in verdict) return undefined;
    if (!("endsMs" in verdict)) throw new BadLogoutToken(verdict.result.because);
    return logout;
  }

  /** Checks steps 5 to 9 of section 2.6. The claims are not verified yet. */
  #read({ sub, sid, events, nonce, jti }: JsonObject): Logout {
    const event =
      isJsonObject(events) && Object.hasOwn(events, logoutEvent) ? events[logoutEvent] : undefined;
    if (!isJsonObject(event)) throw new BadLogoutToken("token: events");
    // Keeps an ID token from passing for a logout token.
    if (nonce !== undefined) throw new BadLogoutToken("token: nonce");
    if (typeof jti !== "string" || jti === "") throw new BadLogoutToken("token: jti");
    if (sub !== undefined && typeof sub !== "string") throw new BadLogoutToken("token: sub");
    if (sid !== undefined && typeof sid !== "string") throw new BadLogoutToken("token: sid");
    const { issuer, clientId } = this.#options;
    const jtiDigest = hash("sha256", JSON.stringify([issuer, clientId, jti]), "base64url");
    // If a session is named, only that one ends; else all sessions of the subject (section 2.7).
    if (sid !== undefined) return { mark: providerSessionMark(this.#options, sid), jtiDigest };
    if (sub === undefined) throw new BadLogoutToken("token: neither sub nor sid");
    return { mark: subjectMark(this.#options, sub), jtiDigest };
  }
}
