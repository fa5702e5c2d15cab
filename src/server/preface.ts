// Detects which version of HTTP a connection in clear begins with. HTTP/2 by prior knowledge begins with its preface
// (RFC 9113 section 3.4), which is no HTTP/1.1 request. At most the 24 bytes of the preface are held.
import type { Socket } from "node:net";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export interface PrefaceEvents {
  /**
   * The connection begins with the preface (`onHttp2`) or something else. Bytes that were read are put back in front.
   */
  readonly onHttp1: (socket: Socket) => void;
  readonly onHttp2: (socket: Socket) => void;
  /** The preface, or any byte at all, did not come in time. */
  readonly onSilence: (socket: Socket) => void;
}

/** Calls back once, unless the connection ends first. */
export function readPreface(socket: Socket, limitMs: number, events: PrefaceEvents): void {
  let held: Buffer | undefined;
  const settle = (tell: (socket: Socket) => void): void => {
    clearTimeout(timer);
    socket.off("readable", look).off("close", forget).off("end", ended).off("error", forget);
    if (held !== undefined) socket.unshift(held);
    tell(socket);
  };
  const timer = setTimeout(() => settle(events.onSilence), limitMs);
  const forget = (): void => clearTimeout(timer);
  // No servable byte has come, and none will.
  const ended = (): void => {
    forget();
    socket.end();
  };
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    held = held === undefined ? chunk : Buffer.concat([held, chunk]);
    const length = Math.min(held.length, preface.length);
    if (held.compare(preface, 0, length, 0, length) !== 0) settle(events.onHttp1);
    else if (length === preface.length) settle(events.onHttp2);
  };
  socket.on("readable", look).on("close", forget).on("end", ended).on("error", forget);
}
