// Ends a connection of node:http behind a response whose request is still coming.
import type { IncomingMessage, ServerResponse } from "node:http";

/** Whether the connection ends with the response: not public, but there since Node 0.x. */
interface Ending extends ServerResponse {
  _last?: boolean;
}

/**
 * Call it before a response ends whose request is still coming. If the connection ends with it, node:http would close
 * on unread bytes, which resets the connection before the client has read the response (RFC 9112 section 9.6).
 */
export function endBehindBody(message: IncomingMessage, response: Ending): void {
  if (response._last !== true) return;
  response._last = false;
  response.once("finish", () => message.socket.end());
  message.once("end", () => message.socket.destroySoon());
}
