// Runs lint and prints its findings, one line each.
import type { Config } from "../config/config.ts";
import type { Extension } from "../extensions/entry.ts";
import type { Finding } from "../plane/lint/finding.ts";
import { type Lint, lintPolicy } from "../plane/lint/lint.ts";
import { problemText } from "../policy/document/problems.ts";
import { pluginsOf } from "../policy/extensions/plugin.ts";
import type { RawPolicy } from "../policy/read.ts";
import { pluginsByName } from "../app/registry.ts";
import { printable } from "./table.ts";

/**
 * @param service undefined = the documents are for all services
 * @param brought the extensions of these documents
 */
export function lintFor(
  config: Config,
  raw: RawPolicy,
  service: string | undefined,
  brought: readonly Extension[],
): Promise<Lint> {
  const { upstream, policyKeys, policyMaxBytes: maxBytes } = config;
  const extensions = pluginsOf(brought);
  const isSigned = policyKeys !== undefined;
  const options = { service, ownBase: upstream.basePath ?? "", isSigned, maxBytes };
  return lintPolicy(raw, { plugins: pluginsByName, extensions, ...options });
}

/** `policy.yaml, line 3, column 5: warning: routes[0]: answers …; run auth … [unauthenticated-route]` */
function findingText(file: string, finding: Finding): string {
  const { code, path, message, advice, routes = [] } = finding;
  const on = routes.length > 1 ? ` (on ${listText(routes)})` : "";
  const where = path === "" ? "warning" : `warning: ${path}`;
  return printable(
    problemText({ ...finding, document: file, path: where, message: `${message}${on}; ${advice} [${code}]` }),
  );
}

function listText(names: readonly string[]): string {
  const [more, shown] = [names.length - 3, names.slice(0, 3).join(", ")];
  return more > 0 ? `${shown} and ${more} more` : shown;
}

export function printLint(print: (line: string) => void, file: string, { findings, left }: Lint): void {
  for (const finding of findings) print(`${findingText(file, finding)}\n`);
  if (left > 0) print(`${file}: and ${left} more warnings\n`);
}
