// Runs `outrigger audit search|export|forget`. `search` finds records, with personal data where its key still exists.
// `export` prints everything that is held about a person. `forget` deletes the keys that open it.
import type { PersonalFields, ReadRecord } from "../audit/record.ts";
import { decisions, parseRecord } from "../audit/record.ts";
import { parseDuration } from "../language/duration.ts";
import { type AuditSource, type SourceOptions, withAudit } from "./audit-source.ts";
import { parseStatuses } from "../language/statuses.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface SubjectOptions extends SourceOptions {
  readonly subject?: string;
  readonly issuer?: string;
  readonly json?: true;
}

export interface SearchOptions extends SubjectOptions {
  readonly since?: string;
  readonly until?: string;
  readonly route?: string;
  readonly decision?: string;
  readonly status?: string;
  readonly kind?: string;
  readonly limit?: string;
}

interface FoundRecord {
  readonly record: ReadRecord;
  readonly person: PersonalFields | undefined;
}

type Matches = (record: ReadRecord) => boolean;

const usage =
  "--since and --until take a time (2026-11-29T10:00:00Z) or how long ago (2h); --status 5xx, 404 or 400-499; --limit 1 to 100000; --decision ";

/** Prints the last records that match. @returns the exit code: 1 when there is none */
export async function searchAudit(
  terminal: Terminal,
  files: readonly string[],
  options: SearchOptions,
): Promise<number> {
  const matches = matcher(options, Date.now());
  const limit = Number(options.limit ?? "100");
  if (matches === undefined || !Number.isSafeInteger(limit) || limit < 1 || limit > 100_000) {
    terminal.err(`${usage}${decisions.join(", ")}\n`);
    return 2;
  }
  return await withAudit(terminal, files, options, async (source) => {
    const found: FoundRecord[] = [];
    for await (const each of records(source, options, matches)) {
      found.push(each);
      // Holds at most twice as many as are shown.
      if (found.length >= limit * 2) found.splice(0, limit);
    }
    const shown = found.slice(-limit);
    if (options.json) for (const each of shown) terminal.out(`${jsonOf(each)}\n`);
    else if (shown.length > 0) printTable(terminal, head, shown.map(rowOf));
    if (shown.length === 0) terminal.err("no such record\n");
    return shown.length === 0 ? 1 : 0;
  });
}

/** Prints everything that is held about a person, one JSON document per line. */
export async function exportSubject(
  terminal: Terminal,
  files: readonly string[],
  options: SubjectOptions,
): Promise<number> {
  return await withAudit(terminal, files, options, async (source) => {
    let count = 0;
    for await (const each of records(source, options, () => true)) {
      terminal.out(`${jsonOf(each)}\n`);
      count += 1;
    }
    terminal.err(`${count} record${count === 1 ? "" : "s"}\n`);
    return count === 0 ? 1 : 0;
  });
}

/**
 * Deletes the keys of a person's records, so that the personal data in them cannot be read any more.
 * @returns the exit code: 1 when there was no key, or some may be left
 */
export async function forgetSubject(
  terminal: Terminal,
  files: readonly string[],
  options: SubjectOptions,
): Promise<number> {
  const { subject = "", issuer, json } = options;
  return await withAudit(terminal, files, options, async (source) => {
    const directory = source.directory();
    const deleted = await directory.forget({ userId: subject, issuer });
    const foreign = await directory.foreign();
    if (foreign > 0)
      terminal.err(
        `${foreign} ${foreign === 1 ? "key is" : "keys are"} wrapped by an audit key that is not among those given: if one is this subject's, it is still there\n`,
      );
    if (json) terminal.out(`${JSON.stringify({ deleted, foreign })}\n`);
    else if (deleted > 0)
      terminal.out(
        `${deleted} ${deleted === 1 ? "key" : "keys"} deleted: what is recorded of this subject until a minute from now cannot be read any more\n`,
      );
    else terminal.err("there is no key of such a subject\n");
    return deleted === 0 || foreign > 0 ? 1 : 0;
  });
}

async function* records(
  source: AuditSource,
  { subject, issuer }: SubjectOptions,
  matches: Matches,
): AsyncGenerator<FoundRecord> {
  const directory = source.directory();
  const tags = subject === undefined ? undefined : await directory.tagsOf({ userId: subject, issuer });
  if (tags?.size === 0) return;
  for await (const { text } of source.lines()) {
    const record = parseRecord(text);
    if (record === undefined || !matches(record)) continue;
    if (tags !== undefined && !tags.has(String(record["subject"]))) continue;
    yield { record, person: await directory.open(record) };
  }
}

/** @returns undefined when an option is malformed */
function matcher(options: SearchOptions, nowMs: number): Matches | undefined {
  const { route, decision, kind } = options;
  const since = momentOf(options.since, nowMs, -Infinity);
  const until = momentOf(options.until, nowMs, Infinity);
  const isStatus = options.status === undefined ? () => true : parseStatuses(options.status);
  const isKnown = decision === undefined || decisions.some((each) => each === decision);
  if (since === undefined || until === undefined || isStatus === undefined || !isKnown) return undefined;
  return (record) => {
    const at = Date.parse(String(record["at"]));
    if (!(at >= since && at <= until)) return false;
    if (!isStatus(record["status"])) return false;
    if (kind !== undefined && record["kind"] !== kind) return false;
    if (decision !== undefined && record["decision"] !== decision) return false;
    return route === undefined || record["route"] === route;
  };
}

function momentOf(text: string | undefined, nowMs: number, otherwise: number): number | undefined {
  if (text === undefined) return otherwise;
  const ago = parseDuration(text);
  if (ago !== undefined) return nowMs - ago;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}

const jsonOf = ({ record, person }: FoundRecord): string =>
  JSON.stringify(person ? { ...record, person } : record);

const head = ["TIME", "CHAIN", "SEQ", "WHAT", "STATUS", "WHO", "ADDRESS", "REQUEST", "WHY"];

function rowOf({ record, person }: FoundRecord): string[] {
  const text = (name: string): string => {
    const value = record[name];
    return typeof value === "string" || typeof value === "number" ? String(value) : "";
  };
  const isAccess = record["kind"] === "access";
  return [
    text("at"),
    text("chain"),
    text("seq"),
    isAccess ? text("decision") : `${text("kind")} ${text("what")}`.trim(),
    text("status"),
    person?.userId ?? "",
    person?.address ?? "",
    isAccess ? `${text("method")} ${person?.path ?? text("route")}` : "",
    [text("by"), text("code"), text("rule"), text("result")].filter((part) => part !== "").join(" "),
  ];
}
