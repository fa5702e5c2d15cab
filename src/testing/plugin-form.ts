// Checks the rules that every plugin must follow, whoever wrote it.
import type { PluginDefinition } from "../plugin-api/contract.ts";
import { misplacedMembers, unknownMembers } from "../plugin-api/known-members.ts";
import { outlineOptions } from "./options-table.ts";

/** @returns one line for each broken rule: empty for a plugin that follows the contract */
export function problemsOf(plugin: PluginDefinition): string[] {
  const { name, version, apiVersion, priority, security, failMode, secrets = {} } = plugin;
  const problems: string[] = [];
  const check = (good: boolean, problem: string): void => {
    if (!good) problems.push(problem);
  };
  check(/^[a-z][a-z0-9-]*$/.test(name), `name: "${name}" is not lower case, digits and dashes`);
  check(/^\d+\.\d+\.\d+$/.test(version), `version: "${version}" is not three numbers with dots`);
  check(apiVersion === 1, "apiVersion: must be 1");
  check(Number.isInteger(priority) && priority >= 0, "priority: must be an integer from 0");
  check(!security || failMode === "closed", "failMode: a security plugin is closed");
  for (const [secret, { about }] of Object.entries(secrets))
    check(/^[A-Z][^\n]{10,}$/.test(about), `secrets.${secret}: says in no line what it is`);
  return [...problems, ...misplacedMembers(plugin), ...unknownMembers(plugin), ...problemsOfOptions(plugin)];
}

function problemsOfOptions({ options }: PluginDefinition): string[] {
  const { rows, lax } = outlineOptions(options);
  return [
    ...(options.safeParse({}).success ? [] : ["options: {} is not enough to start with"]),
    ...lax.map((path) => `options${path && `.${path}`}: takes names that it does not know (z.strictObject)`),
    ...rows
      .filter(({ description }) => !/^[^\n]{5,}$/.test(description))
      .map(({ path }) => `options.${path}: has no description`),
    ...rows
      .filter(({ path }) => path === "failMode")
      .map(() => "options.failMode: is every plugin's already"),
  ];
}
