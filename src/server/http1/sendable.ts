// Whether a head can be sent. node:http finds out while it writes the head, and what it has set until then stays: after a
// 304 that failed, the response in its place would have no body, and the reason phrase of the 304.
import { validateHeaderName, validateHeaderValue } from "node:http";

/**
 * @param fields name, value, …
 * @throws Error when something in it would end a line, or is no text of HTTP
 */
export function checkSendable(statusText: string | undefined, fields: readonly string[]): void {
  if (statusText !== undefined) validateHeaderValue("reason-phrase", statusText);
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    validateHeaderName(name);
    validateHeaderValue(name, fields[i + 1] as string);
  }
}
