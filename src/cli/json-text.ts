// Prints JSON that holds untrusted texts: escapes characters that would move the cursor or change the direction of
// text.
import type { Terminal } from "./terminal.ts";

const escaped = (text: string): string =>
  Array.from(
    { length: text.length },
    (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`,
  ).join("");

export function printJson(terminal: Terminal, value: unknown): void {
  const text = JSON.stringify(value, null, 2);
  // JSON.stringify has already escaped C0 in strings; the line breaks are its own.
  terminal.out(`${text.replace(/[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu, escaped)}\n`);
}
