// Token exchange (RFC 8693) at the real provider, which leaves it to whoever runs it: an access token of its own, for one
// in JWT that is good at one service alone.
import "./quiet-provider.ts";
import { errors, type KoaContextWithOIDC, type Provider } from "oidc-provider";

export const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange";
const accessTokenType = "urn:ietf:params:oauth:token-type:access_token";
/** The only service that tokens are made for. */
export const exchangeAudience = "orders";

/** By the token: which client acts. */
const actors = new WeakMap<object, string>();

/** Who acts for the subject of an access token (RFC 8693 section 4.1). */
export function actingClaims(token: object): { act: { sub: string } } | undefined {
  const sub = actors.get(token);
  return sub === undefined ? undefined : { act: { sub } };
}

async function exchange(provider: Provider, ctx: KoaContextWithOIDC): Promise<void> {
  const { client } = ctx.oidc;
  const params = ctx.oidc.params as Readonly<Record<string, string | undefined>>;
  const scope = params["scope"] ?? "";
  if (client === undefined) throw new errors.InvalidClient("no client");
  if (params["audience"] !== exchangeAudience) throw new errors.InvalidTarget("no such service");
  if (params["subject_token_type"] !== accessTokenType) throw new errors.InvalidRequest("subject_token_type");
  const subject = await provider.AccessToken.find(params["subject_token"] ?? "");
  if (subject === undefined) throw new errors.InvalidRequest("subject_token is not good");
  const shown = params["actor_token"];
  const actor = shown === undefined ? undefined : await provider.ClientCredentials.find(shown);
  if (shown !== undefined && (actor === undefined || params["actor_token_type"] !== accessTokenType))
    throw new errors.InvalidRequest("actor_token is not good");
  const issued = new provider.AccessToken({
    client,
    accountId: subject.accountId,
    grantId: subject.grantId ?? "",
    gty: "token_exchange",
    scope,
  });
  issued.resourceServer = new provider.ResourceServer("urn:orders", {
    audience: exchangeAudience,
    scope,
    accessTokenFormat: "jwt",
    accessTokenTTL: 300,
    jwt: { sign: { alg: "ES256" } },
  });
  if (actor !== undefined) actors.set(issued, actor.clientId ?? "");
  ctx.body = {
    access_token: await issued.save(),
    issued_token_type: accessTokenType,
    token_type: "Bearer",
    expires_in: 300,
  };
}

export function takeExchanges(provider: Provider): void {
  const names = [
    "audience",
    "resource",
    "scope",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "actor_token",
    "actor_token_type",
  ];
  provider.registerGrantType(exchangeGrant, (ctx) => exchange(provider, ctx), names, [
    "audience",
    "resource",
  ]);
}
