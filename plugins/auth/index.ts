// The auth plugin: decides who may call, tells the service who it is, and answers 401, 403, 429 or 503 itself.
import { definePlugin, type Hooks, type RequestField } from "../../src/plugin-api/contract.ts";
import { assemble } from "./assemble.ts";
import { Authenticator } from "./authenticator.ts";
import { forwardedField } from "./certificates/certificate.ts";
import { fleetOptions } from "./fleet-options.ts";
import { cookiesOf } from "./login/login-cookies.ts";
import { authOptions } from "./options.ts";
import { recheck } from "./recheck.ts";
import { createSharedIds } from "./replays.ts";
import { secretNames } from "./secret-names.ts";
import { secrets } from "./secrets.ts";
import { createState, type AuthState } from "./state.ts";
import { answerSubprotocol, ownedBy } from "./tokens/token-sources.ts";

/** Longer than every wait inside the plugin, as a wait that ends by itself can say why. */
const timeLimitMs = 15_000;
/** Where the plugin reads bodies to check their digests: as long as `validate` waits for them. */
const bodyLimitMs = 300_000;

/** @returns a JWK set of the public keys of all assertions that this process makes */
function assertionKeys(state: AuthState): string {
  const keys = new Map(state.assertions.values().map(({ jwk }) => [jwk.kid, jwk]));
  return JSON.stringify({ keys: [...keys.values()] });
}

/** @returns the field of the signed identity. The options are not validated yet. */
function assertionField(options: unknown): RequestField[] {
  const { assertion } = Object(options) as { assertion?: unknown };
  if (typeof assertion !== "object" || assertion === null) return [];
  const { header = "x-outrigger-identity" } = assertion as { header?: unknown };
  return [{ name: String(header), path: ["assertion", "header"], tellsWho: true }];
}

export const auth = definePlugin({
  name: "auth",
  version: "1.0.0",
  apiVersion: 1,
  // Before every plugin that depends on who calls: limits, caches, fields for the service.
  priority: 10,
  security: true,
  failMode: "closed",
  options: authOptions,
  needs: {
    // The options say where the issuers are.
    hosts: ["*"],
    // Redis tells of changes to issuers' keys under the one prefix `jwks:`, for all services.
    keys: [
      "apikey:",
      "keys-make:",
      "keyuse:",
      "session:",
      "session-index:",
      "session-ended:",
      "session-lease:",
      "session-refreshed:",
      "jwks:",
      "jwks-lease:<service>:",
    ],
    seals: ["jwks"],
    lines: ["sessions-ended"],
  },
  secrets,
  requestFields: assertionField,
  fleetOptions,
  cookies: cookiesOf,
  secretNames,
  lint: async () => (await import("./lint.ts")).lint,
  check: async (context) => (await import("./api-keys/keys-check.ts")).checkApiKeys(context),
  commands: async () => (await import("./commands.ts")).commands,
  init: createState,
  sharedState: createSharedIds,
  dispose: (state) => state.dispose(),

  async setup({ options, services, state, route }): Promise<Hooks> {
    const held: (() => void)[] = [];
    const close = (): void => held.forEach((release) => release());
    try {
      const parts = await assemble(options, services, state, route, held);
      const { tokens, login, assertion, credentials, proofs } = parts;
      const { tokenSources } = credentials;
      const owned = ownedBy(tokenSources, credentials.keysStay ? [] : credentials.keyQuery);
      const authenticator = new Authenticator(parts);
      return {
        timeLimitMs: { onRequest: credentials.takesSignatures ? bodyLimitMs : timeLimitMs },
        headOnlyFields: [
          ...credentials.keyHeaders,
          forwardedField,
          ...(assertion ? [assertion.header] : []),
          ...(proofs ? ["dpop"] : []),
          ...(credentials.takesSignatures ? ["signature", "signature-input", "content-digest"] : []),
        ],
        onRequest: (exchange) => authenticator.onRequest(exchange),
        recheck: (exchange) => recheck(parts, exchange),
        ...owned,
        ownedCookies: [...owned.ownedCookies, ...(login?.cookies ?? [])],
        ...((login !== undefined || tokenSources.subprotocols.length > 0 || proofs?.givesNonces === true) && {
          onResponse: (exchange, response) => {
            login?.onResponse(exchange, response);
            proofs?.onResponse(exchange, response);
            answerSubprotocol(exchange.request, response, tokenSources);
          },
        }),
        ...(assertion && {
          ownedRequestFields: [assertion.header],
          documents: { "jwks.json": () => assertionKeys(state) },
        }),
        health: () => tokens?.health(),
        close,
      };
    } catch (error) {
      close();
      throw error;
    }
  },
});
