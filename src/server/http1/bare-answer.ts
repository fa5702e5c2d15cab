// Writes answers by hand for requests that the parser of node:http refuses: those have no message object.
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Lingering } from "../../client/lingering.ts";
import { GatewayError } from "../../plugin-api/errors.ts";
import { LiveResponse } from "../../runtime/response.ts";

/** Writes the error response by hand, since there is no response object, and closes the connection. */
export function answerBare(
  socket: Socket,
  error: GatewayError,
  requestId: string,
  lingering: Lingering,
): void {
  const { status, fields, body } = LiveResponse.fromError(error, requestId);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    `X-Request-Id: ${requestId}`,
  ];
  fields.forEach((_lower, value, name) => lines.push(`${name}: ${value}`));
  socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  endConnection(socket, lingering, body);
}

/** Closes a connection whose client may still send, after the client has had time to read what was written. */
export function endConnection(socket: Socket, lingering: Lingering, last: Buffer | string = ""): void {
  socket.on("error", () => socket.destroy());
  socket.end(last);
  // The client's bytes are read and dropped for a moment: closing on unread bytes would reset the connection before it
  // has read the answer.
  socket.resume();
  socket.once(
    "close",
    lingering.add(socket, () => socket.destroy()),
  );
}

/** True for probes and scanners on a TLS port: they are no requests. */
export function isHandshakeError({ code = "" }: NodeJS.ErrnoException): boolean {
  return code.startsWith("ERR_SSL_") || code === "ERR_TLS_HANDSHAKE_TIMEOUT" || code === "EPROTO";
}

export function parserError(error: NodeJS.ErrnoException): GatewayError {
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new GatewayError("request_timeout", "The request head did not come in time.");
  }
  // The parser's reason does not repeat content of the request.
  const reason = "reason" in error && typeof error.reason === "string" ? `: ${error.reason}` : "";
  return new GatewayError("malformed_request", `The request is malformed${reason}.`);
}
