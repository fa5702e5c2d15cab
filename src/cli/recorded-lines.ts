// Lines of the access log, out of a file or the streams in Redis, as requests to be replayed.
import { createReadStream } from "node:fs";
import type { LogStreams } from "../plane/log-streams.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { KeptRequests } from "../policy-replay/kept-requests.ts";
import { type Line, linesIn } from "../policy-replay/log-formats.ts";
import { recordedRequest, type Unfit } from "../policy-replay/recorded-request.ts";

/** The message says in one line why lines cannot be read. */
export class LineRefusal extends Error {
  override readonly name = "LineRefusal";
}

/** Some three hundred bytes each in a temporary file. */
const maxRequests = 1_000_000;
const maxLineLength = 1_048_576;

export class RecordedLines {
  readonly requests = new KeptRequests();
  /** Lines that are not replayed, by why. */
  readonly unfit = new Map<Unfit, number>();

  /**
   * @param file `-` = standard input
   * @param service lines of others are passed over; undefined = all count
   * Rejects with a LineRefusal when it cannot be read, or is too long.
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

  /** All that is there. Rejects with StoreUnavailable, and with a LineRefusal when it is too much. */
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

/** Those that are not empty. Of one that is too long only so much is kept that this is seen. */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split("\n");
    rest = (lines.pop() ?? "").slice(0, maxLineLength + 1);
    for (const line of lines) if (line.trim() !== "") yield line;
  }
  if (rest.trim() !== "") yield rest;
}
