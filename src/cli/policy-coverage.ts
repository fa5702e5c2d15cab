// `outrigger policy coverage FILE`: whom it lets reach which operation, and which it says nothing about.
import { createReadStream } from "node:fs";
import { parse } from "yaml";
import { loadConfig } from "../app/environment.ts";
import { type AskedOperations, policyCoverage, type ServicesCoverage } from "../app/policy-coverage.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { PolicyRefused, problemText } from "../policy/document/problems.ts";
import { sharedKey } from "../policy/read.ts";
import { operationsSeen } from "../policy-coverage/from-log.ts";
import { operationsOf } from "../policy-coverage/from-openapi.ts";
import { jsonOfCoverage, parts, type Part, printCoverage, uncoveredIn } from "./coverage-text.ts";
import { withPolicyPackages } from "./policy-packages.ts";
import { servicesIn } from "./policy-test.ts";
import { readPolicy } from "./policy-validate.ts";
import { RecordedLines } from "./recorded-lines.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface CoverageCommandOptions {
  readonly openapi?: string;
  readonly fromLogs?: string;
  readonly over?: string;
  readonly service?: string;
  readonly strict?: true;
  readonly require?: string;
  readonly json?: true;
}

const maxDocumentBytes = 16_777_216;

/** @returns the exit code: 1 where the policy is not valid, or where operations lack what they must have */
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
    const asked =
      openapi === undefined
        ? await inLog(fromLogs as string, only)
        : await inDocument(openapi, servicesIn(raw), only);
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

/** What each operation must have; none = any one of all. undefined = it is written wrong. */
function requiredBy({ require }: CoverageCommandOptions): readonly Part[] | undefined {
  const named = require === undefined ? [] : require.split(",");
  const known = parts.filter((part) => named.includes(part));
  return known.length === named.length ? known : undefined;
}

type Asked = AskedOperations & { readonly note: string | undefined };

async function inDocument(
  file: string,
  named: readonly string[],
  service: string | undefined,
): Promise<Asked> {
  try {
    const text = await readText(file);
    const isJson = text.trimStart().startsWith("{");
    const operations = operationsOf(isJson ? JSON.parse(text) : parse(text, { maxAliasCount: 100 }));
    return { named, service, of: () => operations, stripped: true, note: undefined };
  } catch (error) {
    throw new Error(`${file} is not taken: ${textOf(error)}`, { cause: error });
  }
}

async function inLog(file: string, service: string | undefined): Promise<Asked> {
  const lines = new RecordedLines();
  await lines.readFile(file, service);
  const { operations, unanswered } = operationsSeen(lines.requests);
  if (operations.size === 0) throw new Error(`${file} has no request that the service answered`);
  const of = (name: string) => operations.get(name) ?? [];
  const note = `operations are those that the service answered in ${file}: what nobody asked for is not there, and ${unanswered} requests that it did not answer are left out`;
  return { named: [...operations.keys()], service, of, stripped: false, note };
}

async function readText(file: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of file === "-" ? process.stdin : createReadStream(file)) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxDocumentBytes) throw new Error(`it is longer than ${maxDocumentBytes} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}
