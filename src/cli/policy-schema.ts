// Runs `outrigger policy schema`: prints the JSON Schema of policies with the options of every built-in plugin.
import { policyJsonSchema } from "../policy/document/json-schema.ts";
import { pluginsByName } from "../app/registry.ts";
import type { Terminal } from "./terminal.ts";

export async function printPolicySchema(terminal: Terminal): Promise<number> {
  terminal.out(`${JSON.stringify(policyJsonSchema(pluginsByName), null, 2)}\n`);
  return 0;
}
