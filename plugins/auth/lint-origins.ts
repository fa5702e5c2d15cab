// Where a request's own Host says what a caller has proved: what was made for another service that is reached under
// another name then counts here as well.
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
