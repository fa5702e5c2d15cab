// Checks whether a head can be sent. node:http finds out only while it writes the head, and keeps what it has set until
// then: after a 304 that failed, the response in its place would have no body, and the reason phrase of the 304.
import { validateHeaderName, validateHeaderValue } from "node:http";

/**
 * @param fields name, value, …
 * @throws Error if something in it would end a line, or is not valid in HTTP
 */
export function checkSendable(statusText: string | undefined, fields: readonly string[]): void {
  if (statusText !== undefined) validateHeaderValue("reason-phrase", statusText);
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    validateHeaderName(name);
    validateHeaderValue(name, fields[i + 1] as string);
  }
}
