// Runs in a process of its own, started by definition.ts with the bundle's file. Loads the plugin and sends its
// definition. The code is not trusted: it may read files and do nothing else.
import { readFileSync } from "node:fs";
import { textOf } from "../../plugin-api/error-text.ts";
import { misplacedMembers } from "../../plugin-api/known-members.ts";
import { z } from "../../plugin-api/contract.ts";
import { loadBundle } from "../../runtime/trusted/bundle.ts";
import { definitionIn } from "../../runtime/trusted/plugin.ts";

function describe(file: string): unknown {
  const place = "the plugin";
  const definition = definitionIn(loadBundle(readFileSync(file, "utf8"), place), place);
  const misplaced = misplacedMembers(definition);
  if (misplaced.length > 0) throw new Error(misplaced.join("; "));
  const { name, version, apiVersion, priority, security, failMode, needs = {}, options } = definition;
  return {
    said: {
      name,
      version,
      apiVersion: `^${apiVersion}.0.0`,
      priority,
      security,
      failMode,
      // The schema of what a policy writes, without defaults. What a schema cannot express is still checked by the
      // plugin.
      options: z.toJSONSchema(options, { io: "input", unrepresentable: "any" }),
      needs: {
        secrets: needs.secrets ?? [],
        keys: needs.keys ?? [],
        ...(needs.hosts !== undefined && { hosts: needs.hosts }),
        ...(needs.database !== undefined && { database: needs.database }),
      },
    },
  };
}

let message: unknown;
try {
  message = describe(process.argv[2] ?? "");
} catch (error) {
  message = { problem: textOf(error) };
}
process.send?.(message, () => process.exit(0));
