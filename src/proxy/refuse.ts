// The answer to bytes that never became a request: written by hand, since there is no response object for them.
import type { Socket } from "node:net";
import { STATUS_CODES } from "node:http";
import type { GatewayError } from "../pipeline/errors.ts";
import { LiveResponse } from "../pipeline/response.ts";

export interface Refusal {
  readonly error: GatewayError;
  readonly method?: string | undefined;
  readonly target?: string | undefined;
  readonly peer?: string | undefined;
}

const lingerMs = 500;

/** Answers and closes the connection. */
export function refuseSocket(socket: Socket, error: GatewayError, requestId: string): void {
  const { status, fields, body } = LiveResponse.fromError(error, requestId);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    `X-Request-Id: ${requestId}`,
  ];
  fields.forEach((_lower, value, name) => lines.push(`${name}: ${value}`));
  socket.on("error", () => socket.destroy());
  socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  socket.end(body ?? "");
  // What the client still sends is read and dropped for a moment: closing on unread bytes would reset the connection
  // before it has read the answer.
  socket.resume();
  const linger = setTimeout(() => socket.destroy(), lingerMs);
  socket.once("close", () => clearTimeout(linger));
}
