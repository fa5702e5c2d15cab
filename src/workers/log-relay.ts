// Relays a worker's log lines to the sidecar's stdout. If several processes wrote to one pipe, they would tear each
// other's lines: the kernel keeps a write whole only up to PIPE_BUF (4 KiB).
import type { Readable } from "node:stream";
import type { Output } from "../telemetry/output.ts";

/** Longer than any log line; more text without a line end is dropped. */
const maxLineLength = 1_048_576;

/** Passes complete lines on; `output` bounds the buffer for a slow reader. */
export function relayLines(from: Readable, output: Output): void {
  let rest = "";
  from.setEncoding("utf8");
  from.on("data", (text: string) => {
    const end = text.lastIndexOf("\n") + 1;
    if (end > 0) output.write(rest + text.slice(0, end));
    rest = end > 0 ? text.slice(end) : rest + text;
    if (rest.length > maxLineLength) rest = "";
  });
  // The last output of a killed worker may be incomplete.
  from.once("end", () => {
    if (rest !== "") output.write(`${rest}\n`);
  });
  from.on("error", () => {});
}
