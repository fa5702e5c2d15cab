// A real OpenID provider (oidc-provider) on loopback. Everybody who comes is logged in as `user`, unless `asksName`.
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair } from "jose";
import "./quiet-provider.ts";
import { actingClaims, exchangeGrant, takeExchanges } from "./exchange-grant.ts";
import { Provider, type Configuration, type JWK } from "oidc-provider";

export interface OpenIdProvider {
  readonly url: string;
  /** Grants of refresh tokens that were asked for so far. */
  readonly refreshes: () => number;
  /** Tokens that were exchanged so far. */
  readonly exchanges: () => number;
  /** Answers 500 to everything while true. */
  down: boolean;
  /** Who logs in from now on. */
  user: string;
  close(): void;
}

export interface ProviderOptions {
  /** Origin of the application: its callback and the page after logout are registered. */
  readonly appUrl: string;
  readonly user?: string;
  /** Shows a page with a form and waits for a name. */
  readonly asksName?: boolean;
  readonly accessTokenSeconds?: number;
  /** Further claims of everybody. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Takes authorization requests beforehand (RFC 9126), or takes no others. */
  readonly pushedRequests?: "offered" | "required";
  /** Where the application hears of logouts; without it, nowhere. */
  readonly backchannelLogoutUri?: string;
}

export const clientSecret = "a secret of the application & its friends";
export const clientId = "shop";

function configuration(options: ProviderOptions, jwk: JWK): Configuration {
  return {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        grant_types: ["authorization_code", "refresh_token", "client_credentials", exchangeGrant],
        redirect_uris: [`${options.appUrl}/oauth2/callback`],
        post_logout_redirect_uris: [`${options.appUrl}/`],
        id_token_signed_response_alg: "ES256",
        ...(options.backchannelLogoutUri !== undefined && {
          backchannel_logout_uri: options.backchannelLogoutUri,
          backchannel_logout_session_required: true,
        }),
      },
    ],
    jwks: { keys: [jwk] },
    cookies: { keys: ["some-key-of-the-provider"] },
    claims: {
      openid: ["sub", ...Object.keys(options.claims ?? {})],
      email: ["email", "email_verified"],
      profile: ["plan"],
    },
    conformIdTokenClaims: false,
    scopes: ["openid", "offline_access", "profile", "email"],
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      pushedAuthorizationRequests: {
        enabled: options.pushedRequests !== undefined,
        requirePushedAuthorizationRequests: options.pushedRequests === "required",
      },
      backchannelLogout: { enabled: options.backchannelLogoutUri !== undefined },
    },
    // Its own refuses loopback.
    fetch: (url, { method, headers, body, redirect, signal }: RequestInit = {}) =>
      fetch(url, {
        redirect: redirect ?? "manual",
        ...(method !== undefined && { method }),
        ...(headers !== undefined && { headers }),
        ...(body !== undefined && { body }),
        ...(signal !== undefined && { signal }),
      }),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({
        sub,
        email: `${sub}@mail.example`,
        email_verified: true,
        plan: "pro",
        ...options.claims,
      }),
    }),
    extraTokenClaims: (_ctx, token) => actingClaims(token),
    issueRefreshToken: () => true,
    // Every use of a refresh token makes the one before worthless: a second use is taken for theft.
    rotateRefreshToken: () => true,
    ttl: {
      AccessToken: options.accessTokenSeconds ?? 600,
      IdToken: options.accessTokenSeconds ?? 600,
      Session: 3_600,
      Interaction: 600,
      Grant: 3_600,
      RefreshToken: 3_600,
    },
    async loadExistingGrant(ctx) {
      const accountId = ctx.oidc.session?.accountId;
      const id = ctx.oidc.client?.clientId;
      if (accountId === undefined || id === undefined) return undefined;
      // A new one would make codes of the one before worthless, and so the other tabs' logins.
      const known = ctx.oidc.session?.grantIdFor(id);
      if (known !== undefined) return await ctx.oidc.provider.Grant.find(known);
      const grant = new ctx.oidc.provider.Grant({ accountId, clientId: id });
      grant.addOIDCScope("openid offline_access profile email");
      await grant.save();
      return grant;
    },
  };
}

/** Answers the provider's question who somebody is. */
async function interact(
  provider: Provider,
  { asksName, user: known }: { asksName: boolean; user: string },
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  if (asksName && request.method === "GET") {
    response.setHeader("content-type", "text/html");
    response.end(
      '<title>Sign in</title><form method="post"><input name="user"><button>Sign in</button></form>',
    );
    return;
  }
  let user = known;
  if (asksName) {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    user = new URLSearchParams(Buffer.concat(chunks).toString()).get("user") ?? user;
  }
  await provider.interactionFinished(request, response, { login: { accountId: user } });
}

export async function startOpenIdProvider(options: ProviderOptions): Promise<OpenIdProvider> {
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  server.unref();
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: "first", alg: "ES256", use: "sig" } as JWK;
  const provider = new Provider(url, configuration(options, jwk));
  takeExchanges(provider);
  let refreshes = 0;
  let exchanges = 0;
  provider.on("grant.success", (ctx) => {
    if (ctx.oidc.params?.["grant_type"] === "refresh_token") refreshes += 1;
    if (ctx.oidc.params?.["grant_type"] === exchangeGrant) exchanges += 1;
  });
  provider.on("grant.error", (ctx) => {
    if (ctx.oidc.params?.["grant_type"] === "refresh_token") refreshes += 1;
  });
  const handle = provider.callback();
  const facts: OpenIdProvider = {
    url,
    refreshes: () => refreshes,
    exchanges: () => exchanges,
    down: false,
    user: options.user ?? "ada",
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
  server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
    if (facts.down) {
      response.statusCode = 500;
      response.end();
    } else if (request.url?.startsWith("/interaction/") === true) {
      const { user } = facts;
      interact(provider, { asksName: options.asksName === true, user }, request, response).catch(
        (error: unknown) => response.destroy(error as Error),
      );
    } else void handle(request, response);
  });
  return facts;
}
