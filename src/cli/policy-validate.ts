// `outrigger policy validate FILE…`: checks policy files as a sidecar in this environment would (allowed upstreams,
// size), for all services. Signatures are left out: a policy is checked before it is signed.
import { loadConfig } from "../config.ts";
import { readPolicyFile } from "../policy/file-source.ts";
import type { EffectiveDocument } from "../policy/layers.ts";
import { type Problem, PolicyRefused, problemText } from "../policy/problems.ts";
import { createPolicyReader, type RawPolicy, sharedKey } from "../policy/read.ts";
import { unheeded } from "../policy/unheeded.ts";
import { pluginsByName } from "../registry.ts";
import type { Terminal } from "./terminal.ts";

interface FileResult {
  readonly file: string;
  readonly ok: boolean;
  /** Digest of the effective document; absent when it was refused. */
  readonly digest?: string;
  readonly routes?: number;
  readonly problems: readonly Problem[];
  /** What is valid and nothing heeds. */
  readonly warnings?: readonly Problem[];
}

/** Checks one file, over a shared one when that is given. */
type CheckFile = (file: string, over: string | undefined) => Promise<FileResult>;

const withoutConfig = ({ routes }: EffectiveDocument): EffectiveDocument["routes"] =>
  routes.map((route) => ({ ...route, pluginConfig: undefined }));

/** @throws PolicyRefused when the file cannot be read */
async function readFile(file: string, maxBytes: number): Promise<RawPolicy> {
  const reading = await readPolicyFile(file, maxBytes);
  if (reading.state === "read") return reading.raw;
  const message = reading.message.replace(`${file} `, () => "");
  throw new PolicyRefused([{ path: "", message, document: file }]);
}

async function createChecker({ env }: Terminal): Promise<CheckFile> {
  const { upstreamAllow, policyMaxBytes: maxBytes } = loadConfig(env);
  const plugins = pluginsByName;
  const read = await createPolicyReader({
    plugins,
    service: undefined,
    upstreamAllow,
    keys: undefined,
    maxBytes,
  });

  return async function checkFile(file, over) {
    try {
      const own = await readFile(file, maxBytes);
      const raw =
        over === undefined
          ? own
          : { ...(await readFile(over, maxBytes)), layer: own.shared, format: "any" as const };
      const { digest, routes, document } = await read(raw);
      // Over a shared policy routes stand elsewhere than in the file, so that their places would mislead.
      const warnings = unheeded(
        over === undefined ? document : { ...document, routes: withoutConfig(document) },
      );
      return { file, ok: true, digest, routes: routes.length, problems: [], warnings };
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
      return { file, ok: false, problems };
    }
  };
}

/**
 * Prints one line for each file that is right, and one on stderr for each problem and each warning.
 * @returns 0 when all are right, else 1; throws ConfigError when the environment is wrong
 */
export async function validatePolicies(
  terminal: Terminal,
  files: readonly string[],
  options: { json?: true; over?: string },
): Promise<number> {
  const checkFile = await createChecker(terminal);
  const results: FileResult[] = [];
  for (const file of files) results.push(await checkFile(file, options.over));
  const ok = results.every((result) => result.ok);
  if (options.json) {
    terminal.out(`${JSON.stringify({ ok, files: results }, null, 2)}\n`);
  } else {
    for (const { file, routes, digest, problems, warnings = [] } of results) {
      if (digest !== undefined) {
        terminal.out(`${file}: valid, ${routes} ${routes === 1 ? "route" : "routes"}, sha256 ${digest}\n`);
      }
      for (const problem of problems) terminal.err(`${problemText(problem)}\n`);
      for (const warning of warnings) terminal.err(`${file}: warning: ${problemText(warning)}\n`);
    }
  }
  return ok ? 0 : 1;
}
