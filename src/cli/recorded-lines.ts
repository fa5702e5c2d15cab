// Reads access log lines from a file or from the streams in Redis, as requests to replay.
import { createReadStream } from "node:fs";
import type { LogStreams } from "../plane/log-streams.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { KeptRequests } from "../policy-replay/kept-requests.ts";
import { type Line, linesIn } from "../policy-replay/log-formats.ts";
import { recordedRequest, type Unfit } from "../policy-replay/recorded-request.ts";

/** Lines cannot be read; the message says why, in one line. */
export class LineRefusal extends Error {
  override readonly name = "LineRefusal";
}

/** Each takes some 300 bytes in a temporary file. */
const maxRequests = 1_000_000;
const maxLineLength = 1_048_576;

export class RecordedLines {
  readonly requests = new KeptRequests();
  /** Number of lines that are not replayed, by reason. */
  readonly unfit = new Map<Unfit, number>();

  /**
   * @param file `-` = standard input
   * @param service lines of other services are skipped; undefined = all lines count
   * Rejects with a LineRefusal when the file cannot be read, or has too many lines.
   */
  async readFile(file: string, service: string | undefined): Promise<void> {
    const input = file === "-" ? process.stdin : createReadStream(file);
    try {
      for await (const line of linesOf(input.setEncoding("utf8"))) this.#add(line, service);
    } catch (error) {
      if (error instanceof LineRefusal) throw error;
      throw new LineRefusal(`${file} cannot be read: ${textOf(error)}`);
    } finally {
      if (file !== "-") input.destroy();
    }
    if (this.requests.count === 0)
      throw new LineRefusal(`${file} has no line that can be replayed${this.#why()}`);
  }

  /** Reads all entries. Rejects with StoreUnavailable, or with a LineRefusal when there are too many. */
  async readStreams(streams: LogStreams): Promise<void> {
    for (;;) {
      const entries = await streams.next();
      if (entries.length === 0) return;
      for (const { line, service } of entries) this.#add(line, service);
    }
  }

  #add(text: string, service: string | undefined): void {
    const lines = text.length > maxLineLength ? undefined : linesIn(text);
    if (lines === undefined) this.#count("no access-log line");
    else for (const line of lines) this.#addLine(line, service);
  }

  #count(reason: Unfit): void {
    this.unfit.set(reason, (this.unfit.get(reason) ?? 0) + 1);
  }

  #addLine(line: Line, service: string | undefined): void {
    const found = recordedRequest(line, service);
    if (typeof found === "string") {
      this.#count(found);
      return;
    }
    if (service !== undefined && found.service !== service) return;
    if (this.requests.count === maxRequests)
      throw new LineRefusal(
        `these are more than ${maxRequests} requests: give it fewer, or a shorter --since`,
      );
    try {
      this.requests.add(found);
    } catch (error) {
      throw new LineRefusal(`lines cannot be put into a temporary file (TMPDIR): ${textOf(error)}`);
    }
  }

  #why(): string {
    const reasons = [...this.unfit].map(([reason, count]) => `${count} lines: ${reason}`);
    return reasons.length === 0 ? "" : ` (${reasons.join("; ")})`;
  }
}

/** Yields the lines that are not empty. Keeps only as much of a line as shows that it is too long. */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split("\n");
    rest = (lines.pop() ?? "").slice(0, maxLineLength + 1);
    for (const line of lines) if (line.trim() !== "") yield line;
  }
  if (rest.trim() !== "") yield rest;
}
