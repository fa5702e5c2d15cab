// Runs `outrigger policy coverage FILE`: prints whom a policy lets reach which operation, and about which operations it
// says nothing.
import { loadConfig } from "../app/environment.ts";
import { policyCoverage, type ServicesCoverage } from "../app/policy-coverage.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { PolicyRefused, problemText } from "../policy/document/problems.ts";
import { sharedKey } from "../policy/read.ts";
import { askedOperations, type OperationsOptions } from "./asked-operations.ts";
import { jsonOfCoverage, parts, type Part, printCoverage, uncoveredIn } from "./coverage-text.ts";
import { withPolicyPackages } from "./policy-packages.ts";
import { servicesIn } from "./policy-test.ts";
import { readPolicy } from "./policy-validate.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface CoverageCommandOptions extends OperationsOptions {
  readonly over?: string;
  readonly strict?: true;
  readonly require?: string;
  readonly json?: true;
}

/** @returns the exit code: 1 when the policy is not valid, or operations lack what they must have */
export async function coverPolicy(
  terminal: Terminal,
  file: string,
  options: CoverageCommandOptions,
): Promise<number> {
  const { openapi, fromLogs, over, service } = options;
  const required = requiredBy(options);
  if (required === undefined || (openapi === undefined) === (fromLogs === undefined)) {
    const usage =
      required === undefined ? `--require takes ${parts.join(",")}` : "name one of --openapi and --from-logs";
    terminal.err(`${usage}\n`);
    return 2;
  }
  const own = service === undefined ? {} : { OUTRIGGER_SERVICE: service };
  const config = loadConfig({ ...terminal.env, ...own });
  let found: readonly ServicesCoverage[];
  let note: string | undefined;
  try {
    const raw = await readPolicy(file, over, config.policyMaxBytes);
    const only = service ?? (over === undefined ? undefined : config.service);
    const asked = await askedOperations(terminal, config, options, servicesIn(raw), only);
    if (typeof asked === "number") return asked;
    ({ note } = asked);
    found = await withPolicyPackages(config, ({ find }) => policyCoverage(config, raw, asked, find));
  } catch (error) {
    const problems = error instanceof PolicyRefused ? error.problems : [textOf(error)];
    for (const problem of problems) {
      const isOver = over !== undefined && typeof problem === "object" && problem.document === sharedKey;
      const named =
        typeof problem === "string" ? problem : problemText({ ...problem, document: isOver ? over : file });
      terminal.err(`${printable(named)}\n`);
    }
    return 1;
  }
  if (options.json) terminal.out(`${JSON.stringify(jsonOfCoverage(found, required, note), null, 2)}\n`);
  else printCoverage(terminal, found, required, note);
  return uncoveredIn(found, required) > 0 && (options.strict === true || options.require !== undefined)
    ? 1
    : 0;
}

/** The parts that each operation must have; empty = at least one of them; undefined = the option is malformed. */
function requiredBy({ require }: CoverageCommandOptions): readonly Part[] | undefined {
  const named = require === undefined ? [] : require.split(",");
  const known = parts.filter((part) => named.includes(part));
  return known.length === named.length ? known : undefined;
}
