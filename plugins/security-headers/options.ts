// Options of the security-headers plugin.
import { parseDictionary } from "structured-headers";
import { z } from "zod";
import { cspProblem } from "./csp.ts";

/** `preset`, `off`, or a value without problems. */
const fieldText = (problemOf: (text: string) => string | undefined) =>
  z
    .string()
    .superRefine((text, context) => {
      if (text === "preset" || text === "off") return;
      const message = problemOf(text);
      if (message !== undefined) context.addIssue({ code: "custom", message });
    })
    .default("preset");

const fieldChoice = (...values: readonly string[]) => z.enum(["preset", "off", ...values]).default("preset");

const preloadSeconds = 31_536_000;

/** The value of Strict-Transport-Security (RFC 6797 section 6.1), in the only spelling that preload lists accept. */
function hstsProblem(text: string): string | undefined {
  const parts = /^max-age=(\d{1,10})(; includeSubDomains)?(; preload)?$/.exec(text);
  if (parts === null) return "must be max-age=SECONDS, then ; includeSubDomains, then ; preload";
  const [, seconds, subdomains, preload] = parts;
  if (preload !== undefined && (subdomains === undefined || Number(seconds) < preloadSeconds)) {
    return `preload takes includeSubDomains and a max-age of ${preloadSeconds} or more`;
  }
  return undefined;
}

/**
 * A dictionary of structured fields (Permissions Policy section 5.2). Browsers drop the whole field for one mistake.
 */
function permissionsProblem(text: string): string | undefined {
  try {
    return parseDictionary(text).size === 0 ? "names no feature" : undefined;
  } catch {
    return 'must be like camera=(), geolocation=(self "https://maps.example.com")';
  }
}

export const securityHeadersOptions = z.strictObject({
  preset: z
    .enum(["api", "web", "off"])
    .default("api")
    .describe(
      "What each field is that is `preset`: for data (`api`), for pages (`web`), or not sent (`off`).",
    ),
  override: z
    .boolean()
    .default(false)
    .describe("Whether they replace those that the service sets itself; else the service's stay."),
  strictTransportSecurity: fieldText(hstsProblem).describe(
    "`Strict-Transport-Security`, on answers to https alone: `preset`, `off` or the value.",
  ),
  contentSecurityPolicy: fieldText(cspProblem).describe(
    "`Content-Security-Policy`: `preset`, `off` or the value; `'nonce-$nonce'` in it is a new nonce for each request.",
  ),
  contentSecurityPolicyReportOnly: fieldText(cspProblem).describe(
    "`Content-Security-Policy-Report-Only`: likewise.",
  ),
  frameOptions: fieldChoice("DENY", "SAMEORIGIN").describe(
    "`X-Frame-Options`; browsers that know `frame-ancestors` go by that.",
  ),
  contentTypeOptions: fieldChoice("nosniff").describe("`X-Content-Type-Options`."),
  referrerPolicy: fieldChoice(
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
  ).describe("`Referrer-Policy`."),
  permissionsPolicy: fieldText(permissionsProblem).describe(
    "`Permissions-Policy`: `preset`, `off` or the value.",
  ),
  crossOriginOpenerPolicy: fieldChoice(
    "same-origin",
    "same-origin-allow-popups",
    "noopener-allow-popups",
    "unsafe-none",
  ).describe("`Cross-Origin-Opener-Policy`."),
  crossOriginEmbedderPolicy: fieldChoice("require-corp", "credentialless", "unsafe-none").describe(
    "`Cross-Origin-Embedder-Policy`.",
  ),
  crossOriginResourcePolicy: fieldChoice("same-origin", "same-site", "cross-origin").describe(
    "`Cross-Origin-Resource-Policy`.",
  ),
});

export type SecurityHeadersOptions = z.output<typeof securityHeadersOptions>;
