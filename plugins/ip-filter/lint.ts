// What `policy lint` checks in ip-filter: whether it keeps anybody out, and networks that contain every address.
import type { LintFinding, PluginLint } from "../../src/plugin-api/contract.ts";
import type { IpFilterOptions } from "./options.ts";

const isEverybody = (text: string): boolean => text.endsWith("/0");

export const lint: PluginLint<IpFilterOptions> = {
  provides: {
    addresses({ allow, lists, dryRun }) {
      if (dryRun) return "ip-filter.dryRun is true: nobody is refused";
      if (allow.some(isEverybody)) return "ip-filter.allow takes every address";
      return allow.length > 0 || lists.length > 0 || "ip-filter names no network that alone is let in";
    },
  },
  rules: {
    "holds-nobody-off": {
      about: "A filter that lets every address in, or none",
      *check({ allow, deny, lists, denyLists }): Generator<LintFinding> {
        if ([allow, deny, lists, denyLists].every((each) => each.length === 0)) {
          const message = "names no network and no list: everybody is let in";
          yield { path: [], message, advice: "name networks, or take the plugin out" };
        }
        for (const [option, networks] of [
          ["allow", allow],
          ["deny", deny],
        ] as const) {
          for (const [index, text] of networks.entries()) {
            if (!isEverybody(text)) continue;
            const who = text.includes(":") ? "every address" : "every IPv4 address";
            const advice = "name the networks that are meant";
            yield { path: [option, index], message: `is ${who}`, advice };
          }
        }
      },
    },
  },
};
