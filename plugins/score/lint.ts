// Lint rules of score for `policy lint`: options that score nothing, and acts that are only counted.
import type { LintFinding, PluginLint } from "../../src/plugin-api/contract.ts";
import type { ScoreOptions } from "./options.ts";

export const lint: PluginLint<ScoreOptions> = {
  rules: {
    "no-model": {
      about: "Scores nothing, since it has no model",
      *check({ model }): Generator<LintFinding> {
        if (model !== undefined) return;
        yield {
          path: [],
          message: "has no model: nothing is scored",
          advice: "name one (outrigger score publish)",
        };
      },
    },
    "only-shadow": {
      about: "Acts that are only counted, since shadow is on",
      *check({ act, shadow }): Generator<LintFinding> {
        if (!shadow || act.length === 0) return;
        const message = "is true: what act says is counted, and not done";
        yield { path: ["shadow"], message, advice: "set it to false once the counts are as expected" };
      },
    },
  },
};
