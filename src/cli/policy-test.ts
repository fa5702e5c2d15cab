// Runs `outrigger policy test FILE…`: runs the tests that policies carry, as every sidecar does before it takes a
// policy.
import type { ServiceResults } from "../app/document-tests.ts";
import { loadConfig } from "../app/environment.ts";
import type { Config } from "../config/config.ts";
import { documentIn } from "../plane/candidate.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { type Problem, PolicyRefused, problemText } from "../policy/document/problems.ts";
import { type RawPolicy, sharedKey } from "../policy/read.ts";
import { withPolicyPackages } from "./policy-packages.ts";
import { readPolicy } from "./policy-validate.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface TestOptions {
  readonly over?: string;
  readonly service?: string;
  readonly json?: true;
}

interface FileTests {
  readonly file: string;
  readonly ok: boolean;
  readonly tests: readonly TestOutcome[];
  /** Why no test was run. */
  readonly problems: readonly Problem[];
}

interface TestOutcome {
  readonly name: string;
  readonly ok: boolean;
  readonly services: readonly string[];
  readonly failures: readonly string[];
  readonly document: string;
  readonly path: string;
  readonly line?: number;
}

/** Whether one of these documents carries tests. */
export function carriesTests({ shared, layer, format }: RawPolicy): boolean {
  return [shared, layer].some((bytes) => {
    const { tests } = Object(bytes && documentIn(bytes, format)) as { tests?: unknown };
    return Array.isArray(tests) && tests.length > 0;
  });
}

/** The services that a shared document names. */
export function servicesIn(raw: RawPolicy): string[] {
  const document = Object(documentIn(raw.shared, raw.format)) as Record<string, unknown>;
  const { routes, tests, extensions } = document;
  const lists = [routes, tests, Object.values(Object(extensions) as object)];
  const parts = lists.flatMap((list): unknown[] => (Array.isArray(list) ? list : []));
  const names = parts.flatMap((part): unknown[] => {
    const { services } = Object(part) as { services?: unknown };
    return Array.isArray(services) ? services : [];
  });
  return [...new Set(names.filter((name) => typeof name === "string"))];
}

/** Makes a problem for each test that failed. */
export function failedTests(
  found: readonly ServiceResults[],
  nameOf: (document: string | undefined) => string,
): Problem[] {
  const outcomes = outcomesOf(found, nameOf);
  return outcomes.filter(({ ok }) => !ok).map((outcome) => problemOf(outcome, found.length > 1));
}

/** @param isOneOf whether other services have other results */
function problemOf(outcome: TestOutcome, isOneOf: boolean): Problem {
  const { name, services, failures, document, path, line } = outcome;
  const whose = isOneOf ? ` for ${services.join(", ")}` : "";
  const message = `test ${JSON.stringify(name)}${whose}: ${failures.join("; ")}`;
  return { document, path, ...(line !== undefined && { line }), message };
}

function outcomesOf(
  found: readonly ServiceResults[],
  nameOf: (document: string | undefined) => string,
): TestOutcome[] {
  return found.flatMap(({ services, results }) =>
    results.map(({ name, failures, place }) => {
      return {
        ...place,
        name,
        ok: failures.length === 0,
        services,
        failures,
        document: nameOf(place.document),
      };
    }),
  );
}

async function testFile(config: Config, file: string, { over, service }: TestOptions): Promise<FileTests> {
  const nameOf = (document: string | undefined): string =>
    over !== undefined && (document === sharedKey || document === over) ? over : file;
  try {
    const raw = await readPolicy(file, over, config.policyMaxBytes);
    const { testDocuments } = await import("../app/document-tests.ts");
    const whose = service ?? (over === undefined ? undefined : config.service);
    const found = await withPolicyPackages(config, ({ find }) =>
      testDocuments(config, raw, servicesIn(raw), whose, find),
    );
    const tests = outcomesOf(found, nameOf);
    return { file, ok: tests.every(({ ok }) => ok), tests, problems: [] };
  } catch (error) {
    const problems = error instanceof PolicyRefused ? error.problems : [{ path: "", message: textOf(error) }];
    const named = problems.map((problem) => ({ ...problem, document: nameOf(problem.document) }));
    return { file, ok: false, tests: [], problems: named };
  }
}

/** @returns the exit code: 1 when a test fails, or a file is not valid */
export async function testPolicies(
  terminal: Terminal,
  files: readonly string[],
  options: TestOptions,
): Promise<number> {
  const { service } = options;
  const config = loadConfig({
    ...terminal.env,
    ...(service === undefined ? {} : { OUTRIGGER_SERVICE: service }),
  });
  const results: FileTests[] = [];
  for (const file of files) results.push(await testFile(config, file, options));
  const ok = results.every((each) => each.ok);
  if (options.json) terminal.out(`${JSON.stringify({ ok, files: results }, null, 2)}\n`);
  else for (const each of results) printTests(terminal, each);
  return ok ? 0 : 1;
}

function printTests(terminal: Terminal, { file, tests, problems }: FileTests): void {
  for (const problem of problems) terminal.err(`${printable(problemText(problem))}\n`);
  const isOneOf = new Set(tests.map(({ services }) => services)).size > 1;
  for (const test of tests) {
    if (!test.ok) terminal.err(`${printable(problemText(problemOf(test, isOneOf)))}\n`);
  }
  if (problems.length > 0) return;
  const names = new Set(tests.map(({ name, document }) => `${document} ${name}`));
  const failed = new Set(tests.flatMap(({ ok, name, document }) => (ok ? [] : `${document} ${name}`)));
  const passed = names.size - failed.size;
  const text = names.size === 0 ? "no tests" : `${passed} of ${names.size} tests passed`;
  terminal.out(`${file}: ${text}\n`);
}
