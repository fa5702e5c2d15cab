// Checks the cache's options for `policy lint`: finds routes where others may get one caller's answer.
import type { LintFinding, PluginLint } from "../../src/plugin-api/contract.ts";
import type { CacheOptions } from "./options.ts";

export const lint: PluginLint<CacheOptions> = {
  rules: {
    "shared-for-identities": {
      about: "`scope: shared` where another plugin learns who calls: one caller's answer is everybody's",
      *check({ scope, vary }, route): Generator<LintFinding> {
        const told = vary.some((member) => member.startsWith("claim:") || member === "authorization");
        if (scope !== "shared" || told || !route.provides("identity")) return;
        yield {
          path: ["scope"],
          message: "keeps one answer for everybody where the service is told who calls",
          advice:
            "take scope auto or identity, add claim:<path> to vary, or allow it and say why all callers get the same",
        };
      },
    },
  },
};
