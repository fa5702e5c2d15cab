// Rules of `policy lint` for proofs, passwords and signatures that can be replayed elsewhere or guessed without limit.
import type { LintFinding } from "../../src/plugin-api/contract.ts";
import type { AuthOptions } from "./options.ts";

export const aboutOrigins =
  "DPoP proofs are held to the `Host` that the client sends, and no `audience` keeps tokens for other services out";

export function* unnamedOrigins({ jwt }: AuthOptions): Generator<LintFinding> {
  if (jwt === undefined || jwt.dpop.publicUrls.length > 0) return;
  for (const [index, { dpop = "off", audience }] of jwt.issuers.entries()) {
    if (dpop === "off" || audience.length > 0) continue;
    yield {
      path: ["jwt", "issuers", index, "dpop"],
      message: "another service's token and proof count here too, for whoever sends them with its Host",
      advice: "name this service in audience, or where clients reach it in jwt.dpop.publicUrls",
    };
  }
}

export const aboutGuesses = "Passwords without `guessing`: whoever wants to may try them all";

export function* boundlessGuesses({ basic, guessing }: AuthOptions): Generator<LintFinding> {
  if (basic === undefined || guessing !== false) return;
  yield {
    path: ["guessing"],
    message: "nothing ends the guessing of the passwords of basic.users",
    advice: "leave guessing out, or name how many failures are taken",
  };
}

export const aboutComponents =
  "`signatures.components` without the method, the host or the whole target: one signature is good for several requests";

export function* narrowSignatures({ signatures }: AuthOptions): Generator<LintFinding> {
  const covered = signatures?.components ?? [];
  if (covered.length === 0) return;
  const has = (name: string): boolean => covered.includes(name);
  const path = has("@request-target") || (has("@path") && has("@query"));
  if (has("@method") && (has("@target-uri") || (has("@authority") && path))) return;
  yield {
    path: ["signatures", "components"],
    message: "whoever sees a signed request can send another one under its signature",
    advice: "add @method, and @target-uri or @authority, @path and @query; or leave the option out",
  };
}
