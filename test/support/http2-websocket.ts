// A WebSocket client over an HTTP/2 stream (RFC 8441): it sends text and records what it receives.
import { once } from "node:events";
import type http2 from "node:http2";
import { eventually } from "./redis.ts";

const opText = 1;
const opClose = 8;

/** A masked frame with a short payload. */
export function maskedFrame(opcode: number, payload: Buffer): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const hidden = payload.map((byte, i) => byte ^ (mask[i % 4] as number));
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, hidden]);
}

export class Http2WebSocket {
  readonly stream: http2.ClientHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  readonly texts: string[] = [];
  /** Code of the other side's close frame. */
  closeCode: number | undefined = undefined;
  ended = false;
  /** Body of an answer that came instead of frames. */
  body = "";
  #held = Buffer.alloc(0);

  private constructor(stream: http2.ClientHttp2Stream, headers: http2.IncomingHttpHeaders) {
    this.stream = stream;
    this.headers = headers;
    const isOpen = Number(headers[":status"]) === 200;
    stream.on("data", (chunk: Buffer) => (isOpen ? this.#read(chunk) : (this.body += chunk.toString())));
    stream.on("end", () => (this.ended = true));
  }

  static async open(
    session: http2.ClientHttp2Session,
    path: string,
    fields: http2.OutgoingHttpHeaders = {},
  ): Promise<Http2WebSocket> {
    if (!session.remoteSettings.enableConnectProtocol) await once(session, "remoteSettings");
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": path,
      "sec-websocket-version": "13",
      ...fields,
    });
    stream.on("error", () => {});
    const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    return new Http2WebSocket(stream, headers);
  }

  get status(): number {
    return Number(this.headers[":status"]);
  }

  send(text: string): void {
    this.stream.write(maskedFrame(opText, Buffer.from(text)));
  }

  close(code: number): void {
    this.stream.end(maskedFrame(opClose, Buffer.from([code >> 8, code & 0xff])));
  }

  async heard(count: number): Promise<readonly string[]> {
    await eventually(`${count} messages have come`, () => this.texts.length >= count);
    return this.texts;
  }

  /** Resolves with the code of a reset when the stream is over; 0 = in order. */
  async over(): Promise<number> {
    if (!this.stream.closed) await once(this.stream, "close");
    return this.stream.rstCode;
  }

  #read(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= 2) {
      const [first = 0, short = 0] = this.#held;
      const at = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (this.#held.length < at) return;
      const length =
        short === 126 ? this.#held.readUInt16BE(2) : short === 127 ? this.#held.readUInt32BE(6) : short;
      if (this.#held.length < at + length) return;
      const payload = this.#held.subarray(at, at + length);
      this.#held = this.#held.subarray(at + length);
      if ((first & 0xf) === opClose) this.closeCode = payload.readUInt16BE(0);
      else this.texts.push(payload.toString());
    }
  }
}
