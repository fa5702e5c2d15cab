// Runs `outrigger audit verify`: tells whether a trail is as it was written, and where it is not.
import { HeadVerifier } from "../audit/key.ts";
import { shownHeads } from "../audit/read-trail.ts";
import { type Anchor, TrailVerifier, type Verified } from "../audit/verify.ts";
import { type Config, ConfigError } from "../config/config.ts";
import { FormatError, parsePublicKeys } from "../config/formats.ts";
import { readTextFile } from "../config/secrets.ts";
import { type SourceOptions, withAudit } from "./audit-source.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface AuditVerifyOptions extends SourceOptions {
  readonly keys?: string;
  readonly json?: true;
}

const maxFindings = 1_000;

/** @returns the exit code: 0 = the trail is intact, 1 = it was changed, or has no record */
export async function verifyAudit(
  terminal: Terminal,
  files: readonly string[],
  options: AuditVerifyOptions,
): Promise<number> {
  return await withAudit(terminal, files, options, async (source) => {
    const { config, store, trimmed } = source;
    const keys = new HeadVerifier(publicKeys(config, options.keys));
    const anchors: readonly Anchor[] =
      store === undefined ? [] : await shownHeads(store, config.service, keys);
    const verify = keys.verify.bind(keys);
    const verifier = new TrailVerifier({ verify, nowMs: Date.now(), anchors, trimmed });
    for await (const line of source.lines()) verifier.add(line);
    const verified = verifier.end();
    if (options.json) terminal.out(`${JSON.stringify({ ok: isWhole(verified), ...verified }, null, 2)}\n`);
    else print(terminal, verified, store !== undefined);
    return isWhole(verified) ? 0 : 1;
  });
}

const isWhole = ({ records, findings }: Verified): boolean => records > 0 && findings.length === 0;

function print(terminal: Terminal, { records, chains, findings }: Verified, compared: boolean): void {
  for (const { where, chain, problem } of findings.slice(0, maxFindings))
    terminal.out(`${printable(`${where}: ${chain === undefined ? "" : `${chain}: `}${problem}`)}\n`);
  if (findings.length > maxFindings) terminal.out(`and ${findings.length - maxFindings} more\n`);
  for (const { chain, from, to, signedTo } of chains)
    terminal.out(`${printable(chain)}: records ${from} to ${to}, signed up to ${signedTo}\n`);
  if (records === 0) terminal.err("there is no record\n");
  if (!compared)
    terminal.err(
      "REDIS_URL is not set: an end that was removed at a head is not seen in other sidecars' heads\n",
    );
}

/** @throws ConfigError when there is no key */
function publicKeys({ auditKey }: Config, given: string | undefined): string[] {
  try {
    const { keys } = given === undefined ? { keys: [] } : parsePublicKeys(given, readTextFile);
    const all = [
      ...(auditKey ?? []).map(({ x }) => x),
      ...keys.flatMap(({ x }) => (typeof x === "string" ? [x] : [])),
    ];
    if (all.length > 0) return all;
  } catch (error) {
    if (error instanceof FormatError) throw new ConfigError([`--keys: ${error.message}`]);
    throw error;
  }
  throw new ConfigError(["OUTRIGGER_AUDIT_KEY: is not set: name the public key with --keys"]);
}
