// Runs `outrigger policy validate FILE…`: checks policy files as a sidecar in this environment would (allowed
// upstreams, size), for all services. Signatures are not checked, because a policy is validated before it is signed.
import { loadConfig } from "../app/environment.ts";
import type { Config } from "../config/config.ts";
import { candidateOf } from "../plane/candidate.ts";
import type { Extension } from "../extensions/entry.ts";
import type { Finding } from "../plane/lint/finding.ts";
import { readPolicyFile } from "../policy/sources/file-source.ts";
import { digestOf } from "../policy/document/digest.ts";
import { type Problem, PolicyRefused, problemText } from "../policy/document/problems.ts";
import { createPolicyReader, type PolicyReader, type RawPolicy, sharedKey } from "../policy/read.ts";
import { pluginsByName } from "../app/registry.ts";
import { lintFor, printLint } from "./lint-text.ts";
import { fillIn } from "./policy-extensions.ts";
import { withPolicyPackages } from "./policy-packages.ts";
import type { Terminal } from "./terminal.ts";

export interface CheckOptions {
  readonly over?: string;
  readonly strict?: true;
  readonly json?: true;
}

interface Pinning {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
}

export interface FileResult {
  readonly file: string;
  readonly ok: boolean;
  /** Digest of the effective document for all services; absent when it was refused. */
  readonly digest?: string;
  /**
   * Digest of the document as `apply` writes it: history, heartbeats and `/policy` use this one. Absent when it was
   * refused.
   */
  readonly documentDigest?: string;
  readonly routes?: number;
  /** Extensions that are not pinned, with the pins that `apply` would write now; absent = there are none. */
  readonly unpinned?: readonly Pinning[];
  readonly problems: readonly Problem[];
  /** Findings of lint: valid, but probably not meant. */
  readonly warnings: readonly Finding[];
  /** How many more warnings there are, not listed. */
  readonly left: number;
}

/** @throws PolicyRefused when the file cannot be read */
async function readFile(file: string, maxBytes: number): Promise<RawPolicy> {
  const reading = await readPolicyFile(file, maxBytes);
  if (reading.state === "read") return reading.raw;
  const message = reading.message.replace(`${file} `, () => "");
  throw new PolicyRefused([{ path: "", message, document: file }]);
}

/**
 * @param over file of the shared policy, when `file` is a layer over it
 * @throws PolicyRefused when a file cannot be read
 */
export async function readPolicy(
  file: string,
  over: string | undefined,
  maxBytes: number,
): Promise<RawPolicy> {
  const own = await readFile(file, maxBytes);
  return over === undefined ? own : { ...(await readFile(over, maxBytes)), layer: own.shared, format: "any" };
}

function pinningOf({ name, package: { manifest, sha256 } }: Extension): Pinning {
  return { name, version: manifest.version, sha256 };
}

async function checkFile(
  read: PolicyReader,
  config: Config,
  file: string,
  over: string | undefined,
): Promise<FileResult> {
  try {
    const raw = await readPolicy(file, over, config.policyMaxBytes);
    const { digest, routes, extensions } = await read(raw);
    const { findings: warnings, left } = await lintFor(config, raw, undefined, extensions);
    const pins = new Map(extensions.map((extension) => [extension.name, pinningOf(extension)]));
    const { bytes, format, filledIn } = fillIn({ bytes: raw.layer ?? raw.shared, format: raw.format }, pins);
    const digests = { digest, documentDigest: digestOf(candidateOf(bytes, format).bytes) };
    const unpinned = [...pins.values()].filter(({ name }) => filledIn.has(name));
    const found = { ...digests, routes: routes.length, ...(unpinned.length > 0 && { unpinned }) };
    return { file, ok: true, ...found, problems: [], warnings, left };
  } catch (error) {
    if (!(error instanceof PolicyRefused)) throw error;
    const lower = over ?? file;
    const nameOf = (document: string | undefined): string => {
      if (document === undefined || document === sharedKey) return lower;
      return document === over ? over : file;
    };
    const problems = error.problems.map(({ document, ...problem }) => ({
      ...problem,
      document: nameOf(document),
    }));
    return { file, ok: false, problems, warnings: [], left: 0 };
  }
}

/** Checks each file, with warnings. Throws ConfigError when the environment is wrong. */
export async function checkFiles(
  { env }: Terminal,
  files: readonly string[],
  { over, strict }: CheckOptions,
): Promise<{ ok: boolean; results: readonly FileResult[] }> {
  const config = loadConfig(env);
  const { upstreamAllow, policyMaxBytes: maxBytes } = config;
  const plugins = pluginsByName;
  const results = await withPolicyPackages(config, async ({ find: packages }) => {
    const options = { plugins, packages, service: undefined, upstreamAllow, keys: undefined, maxBytes };
    const read = await createPolicyReader(options);
    const found: FileResult[] = [];
    for (const file of files) found.push(await checkFile(read, config, file, over));
    return found;
  });
  const ok = results.every((result) => result.ok && (strict !== true || result.warnings.length === 0));
  return { ok, results };
}

/**
 * Prints one line for each valid file, and one on stderr for each problem and each warning.
 * @returns 0 when all files are valid, and free of warnings with `strict`; else 1
 */
export async function validatePolicies(
  terminal: Terminal,
  files: readonly string[],
  options: CheckOptions,
): Promise<number> {
  const { ok, results } = await checkFiles(terminal, files, options);
  if (options.json) {
    terminal.out(`${JSON.stringify({ ok, files: results }, null, 2)}\n`);
    return ok ? 0 : 1;
  }
  for (const result of results) {
    const { file, routes, digest, documentDigest, unpinned = [], problems, warnings, left } = result;
    if (digest !== undefined) {
      const count = `${routes} ${routes === 1 ? "route" : "routes"}`;
      const digests = `document sha256 ${documentDigest}, effective for all services ${digest}`;
      terminal.out(`${file}: valid, ${count}, ${digests}\n`);
    }
    for (const { name, version, sha256 } of unpinned)
      terminal.out(`${file}: extensions.${name} is not pinned: version ${version}, sha256 ${sha256}\n`);
    for (const problem of problems) terminal.err(`${problemText(problem)}\n`);
    printLint((line) => terminal.err(line), file, { findings: warnings, left });
  }
  return ok ? 0 : 1;
}
