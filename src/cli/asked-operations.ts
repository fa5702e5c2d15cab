// Collects the operations of services for `policy coverage`: from an OpenAPI document, a log file, or the log streams
// in Redis.
import { createReadStream } from "node:fs";
import { parse } from "yaml";
import type { AskedOperations } from "../app/policy-coverage.ts";
import type { Config } from "../config/config.ts";
import { parseDuration } from "../language/duration.ts";
import { LogStreams } from "../plane/log-streams.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { operationsSeen } from "../policy-coverage/from-log.ts";
import { operationsOf } from "../policy-coverage/from-openapi.ts";
import { RecordedLines } from "./recorded-lines.ts";
import type { Terminal } from "./terminal.ts";
import { withStore } from "./with-store.ts";

export interface OperationsOptions {
  readonly openapi?: string;
  /** true = the streams in Redis. */
  readonly fromLogs?: string | true;
  readonly since?: string;
  readonly service?: string;
}

const maxDocumentBytes = 16_777_216;
const use = { name: "coverage", because: "--from-logs without a file reads the log streams there" };

/**
 * Rejects, saying why, when the operations cannot be read.
 * @param named services about which the policy says something
 * @param service the only service to check; undefined = all
 * @returns the operations, or the exit code after an error that was already printed
 */
export async function askedOperations(
  terminal: Terminal,
  config: Config,
  { openapi, fromLogs, since = "1h" }: OperationsOptions,
  named: readonly string[],
  service: string | undefined,
): Promise<Asked | number> {
  if (openapi !== undefined) return await inDocument(openapi, named, service);
  const lines = new RecordedLines();
  if (typeof fromLogs === "string") {
    await lines.readFile(fromLogs, service);
    return inLog(lines, fromLogs, service);
  }
  const sinceMs = parseDuration(since);
  if (sinceMs === undefined) throw new Error("--since takes a time such as 30m, 1h or 7d");
  const code = await withStore(terminal, config, use, async (store) => {
    await lines.readStreams(new LogStreams(store, service, Date.now() - sinceMs));
    return 0;
  });
  return code === 0 ? inLog(lines, `the log streams of the last ${since}`, service) : code;
}

/** Operations, with a note on where they come from. */
export type Asked = AskedOperations & { readonly note: string | undefined };

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

function inLog(lines: RecordedLines, file: string, service: string | undefined): Asked {
  const { operations, unanswered } = operationsSeen(lines.requests.inOrder());
  lines.requests.close();
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
