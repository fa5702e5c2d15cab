// What `policy lint` checks in ext-auth: whether it identifies callers, and whether requests share cached answers
// although they differ in `input`.
import type { LintFinding, PluginLint } from "../../src/plugin-api/contract.ts";
import type { ExtAuthOptions } from "./options.ts";

export const lint: PluginLint<ExtAuthOptions> = {
  provides: {
    identity: ({ identity }) => identity !== undefined || "ext-auth.identity is not set",
    authentication: ({ url }) => url !== undefined || "ext-auth.url is not set",
    // The endpoint has the rules.
    rule: ({ url }) => url !== undefined || "ext-auth.url is not set",
  },
  rules: {
    "shares-too-much": {
      about: "Kept answers that requests share which differ in what was asked",
      *check({ input, cache }): Generator<LintFinding> {
        if (cache.ttlSeconds === 0) return;
        const left = input.filter((each) => !cache.by.includes(each));
        if (left.length === 0) return;
        yield {
          path: ["cache", "by"],
          message: `leaves out ${left.join(", ")}: requests that differ there get each other's answer`,
          advice: "name all that the endpoint's answer depends on",
        };
      },
    },
  },
};
