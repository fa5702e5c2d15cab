// Makes and checks the proof of a WebSocket handshake in HTTP/1.1 (RFC 6455 section 4) towards the service. HTTP/2 has
// no such proof (RFC 8441 section 5).
import { createHash, randomBytes } from "node:crypto";

export const newWebSocketKey = (): string => randomBytes(16).toString("base64");

/** @returns the Sec-WebSocket-Accept that a service has to answer with */
export function webSocketAccept(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
