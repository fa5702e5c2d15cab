// Builds the text of interim responses (RFC 9110 section 15.2).
import { linesOf } from "./response-head.ts";

/** @param fields name, value, … @returns undefined = send nothing */
export function interimText(status: number, fields: readonly string[]): string | undefined {
  if (status === 100) return "HTTP/1.1 100 Continue\r\n\r\n";
  if (status === 102) return "HTTP/1.1 102 Processing\r\n\r\n";
  if (status !== 103 || !fields.some((name, i) => i % 2 === 0 && name.toLowerCase() === "link"))
    return undefined;
  // A bad hint must not fail the request.
  try {
    return `HTTP/1.1 103 Early Hints\r\n${linesOf(fields)}\r\n`;
  } catch {
    return undefined;
  }
}
