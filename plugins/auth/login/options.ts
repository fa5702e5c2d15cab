// Options of browser login.
import { z } from "zod";
import { milliseconds, seconds } from "../../../src/language/duration.ts";
import { pathPattern } from "../../../src/language/path-pattern.ts";
import { algorithmNames } from "../issuers/options.ts";
import { claimMapping, origin, requiredClaims, safeUrl, secretName } from "../option-fields.ts";
import { usualCookieName } from "./login-cookies.ts";
import { localReference } from "./return-address.ts";

/** The path becomes the Path attribute of a cookie, which a semicolon would end. */
const ownPath = pathPattern.refine((text) => !/[*;]/.test(text), {
  error: "must be one path, without * and ;",
});

const loginFields = z.strictObject({
  issuer: safeUrl.describe("OpenID provider, found by discovery"),
  clientId: z.string().min(1).describe("Client id at the provider"),
  clientSecret: secretName
    .optional()
    .describe("Name of the secret that holds the client's password (default: public client)"),
  publicUrl: safeUrl.describe(
    "Origin under which browsers reach this route, e.g. https://app.example; never taken from Host",
  ),
  scopes: z
    .array(z.string().min(1))
    .default(["openid", "profile", "email"])
    .describe("Scopes asked for; must hold openid"),
  parameters: z
    .record(z.string(), z.string())
    .default({})
    .describe("Further parameters of the authorization request, e.g. prompt or resource"),
  pushedRequests: z
    .enum(["auto", "require", "off"])
    .default("auto")
    .describe(
      "Give the provider the authorization request beforehand (RFC 9126): auto = where it names an endpoint for that; off = not, unless it requires it",
    ),
  allowedOrigins: z
    .array(origin)
    .default([])
    .describe("Further origins whose pages may use a session for more than GET and HEAD, and for WebSockets"),
  algorithms: z
    .array(z.enum(algorithmNames).exclude(["HS256", "HS384", "HS512"]))
    .min(1)
    .default(["RS256", "ES256", "EdDSA"])
    .describe("Signature algorithms taken for ID tokens"),
  callbackPath: ownPath
    .default("/oauth2/callback")
    .describe("Path of the redirect URI; the route must cover it"),
  loginPath: ownPath
    .default("/oauth2/login")
    .describe("Starts a login; ?return_to= takes a path of this origin"),
  logoutPath: ownPath
    .default("/oauth2/logout")
    .describe("Ends the session here and at the provider: a POST of the own origin; GET asks the user first"),
  backchannelLogoutPath: ownPath
    .optional()
    .describe(
      "Where the provider tells of logouts (OpenID Connect Back-Channel Logout), which end all of somebody's sessions; needs Redis (default: nowhere)",
    ),
  afterLogout: localReference.default("/").describe("Path to go to after the logout"),
  sessions: z
    .enum(["cookie", "redis"])
    .default("cookie")
    .describe(
      "Where sessions are kept: sealed in cookies of 10,800 characters at most, or sealed in Redis, where `outrigger sessions` lists them",
    ),
  keepAccessToken: z
    .boolean()
    .default(false)
    .describe("Keep the access token in the session, for `tokenExchange`; the same on all routes of a login"),
  sessionKeys: z
    .union([z.literal("SESSION_KEYS"), secretName])
    .default("SESSION_KEYS")
    .describe(
      "Name of the secret with the cookie keys: base64url of 32 bytes, comma-separated, the first encrypts",
    ),
  cookieName: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .default(usualCookieName)
    .describe("Name of the session cookie; chunks get .0, .1, …"),
  secureCookie: z
    .boolean()
    .default(true)
    .describe("Secure attribute; false only for plain http in development"),
  sessionSeconds: seconds(60).default(43_200).describe("Longest life of a session, whatever is refreshed"),
  refreshBeforeSeconds: seconds(1, 3600)
    .default(60)
    .describe("How long before their end tokens are refreshed"),
  timeoutMs: milliseconds(50, 10_000).default(3000).describe("Longest wait for the provider"),
  requiredClaims,
  claims: claimMapping,
});

export const loginOptions = loginFields.superRefine((fields, context) => {
  const { cookieName, secureCookie, scopes } = fields;
  const paths = ["callbackPath", "loginPath", "logoutPath", "backchannelLogoutPath"] as const;
  for (const [index, name] of paths.entries()) {
    const other = paths.slice(0, index).find((before) => fields[before] === fields[name]);
    if (other !== undefined && fields[name] !== undefined)
      context.addIssue({ code: "custom", path: [name], message: `is the path of ${other} too` });
  }
  if (!secureCookie && /^__(?:Host|Secure)-/i.test(cookieName)) {
    const message = "browsers take such a name only with secureCookie";
    context.addIssue({ code: "custom", path: ["cookieName"], message });
  }
  if (!scopes.includes("openid"))
    context.addIssue({ code: "custom", path: ["scopes"], message: "must hold openid" });
});

export type LoginOptions = z.output<typeof loginOptions>;
