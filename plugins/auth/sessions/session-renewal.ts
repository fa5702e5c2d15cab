// Refreshes the tokens of a session at the provider.
import type { Services } from "../../../src/plugin-api/contract.ts";
import type { LoginOptions } from "../login/options.ts";
import { GrantRefused, type Provider, ProviderDown } from "../login/provider.ts";
import type { AccessTokens } from "./access-tokens.ts";
import { renewedClaims } from "./session-claims.ts";
import type { Session } from "./session-seal.ts";

export interface RenewalParts {
  readonly options: LoginOptions;
  readonly services: Services;
  readonly provider: Provider;
  readonly accessTokens: AccessTokens;
}

type Verified = Awaited<ReturnType<Provider["verifyIdToken"]>>;

/**
 * Waits for the provider's keys for a bounded time: past its lease, another sidecar would spend the same refresh token
 * again, and the provider would take that for theft. Rejects as the check does, or with `ProviderDown`.
 */
async function within(limitMs: number, check: Promise<Verified>): Promise<Verified> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ProviderDown("the provider's keys do not come in time")), limitMs);
  });
  try {
    return await Promise.race([check, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects with `GrantRefused` or `ProviderDown`. */
export async function renewSession(
  session: Session,
  spent: string,
  { options, services, provider, accessTokens }: RenewalParts,
): Promise<Session> {
  const tokens = await provider.refresh(spent);
  const { idToken, refreshToken = spent } = tokens;
  let verified: Verified | undefined;
  try {
    if (idToken !== undefined)
      verified = await within(options.timeoutMs, provider.verifyIdToken(idToken, undefined));
  } catch (error) {
    if (!(error instanceof ProviderDown)) throw error;
    // Keep the new refresh token, as the old one may be good no more. Nothing else of the answer counts.
    services.logger.warn({ err: error }, "the ID token of a refreshed session cannot be verified now");
    return { ...session, refreshToken };
  }
  // OpenID Connect Core section 12.2: the refreshed ID token must be of the same user.
  if (verified !== undefined && verified.claims["sub"] !== session.claims["sub"])
    throw new GrantRefused("ID token: another subject");
  const endsMs = tokens.endsMs ?? verified?.endsMs ?? session.endsMs;
  if (endsMs <= services.clock.now()) throw new GrantRefused("the refreshed tokens are over");
  return {
    ...session,
    endsMs,
    refreshToken,
    idToken: idToken ?? session.idToken,
    accessToken: accessTokens.kept(tokens),
    claims: verified === undefined ? session.claims : renewedClaims(session.claims, verified.claims, options),
  };
}
