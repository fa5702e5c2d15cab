// Writes the head of a response, and checks that nothing in it can end a line early.
import { STATUS_CODES } from "node:http";
import { isFieldValue } from "../../http1/field-text.ts";
import { isToken } from "../../language/field-name.ts";
import { knownName } from "../../plugin-api/field-names.ts";

/** The request that the head answers, as far as it decides what the connection may carry. */
export interface AnsweredRequest {
  readonly method: string;
  readonly httpVersion: string;
  /** Whether the connection may carry another request. */
  readonly keepAlive: boolean;
}

/** The fields that the server adds on a connection that stays open. */
function keptFields(keepAliveMs: number): string {
  const seconds = Math.floor(keepAliveMs / 1000);
  return `\r\nConnection: keep-alive${keepAliveMs === 0 ? "" : `\r\nKeep-Alive: timeout=${seconds}`}`;
}

/** The last head that was made. One object serves all: each caller reads it before the next head is made. */
export class ResponseHead {
  /** One character per byte. */
  text = "";
  /** The body goes out in chunks. */
  chunked = false;
  /** No body is sent, even if the head announces one. */
  bodiless = false;
  /** The connection ends with the response. */
  isLast = false;
  readonly #kept: string;
  #hasDate = false;
  #hasLength = false;
  #closes = false;

  constructor(keepAliveMs: number) {
    this.#kept = keptFields(keepAliveMs);
  }

  /**
   * @param statusText undefined = the usual one for the status
   * @param fields name, value, …
   * @throws Error when something in it cannot be sent
   */
  make(
    request: AnsweredRequest,
    status: number,
    statusText: string | undefined,
    fields: readonly string[],
  ): void {
    const text = this.#addFields(statusLine(status, statusText), fields);
    const isChunkable = request.httpVersion !== "1.0";
    this.bodiless = request.method === "HEAD" || status === 204 || status === 304;
    this.chunked = isChunkable && !this.bodiless && !this.#hasLength;
    const isKept = request.keepAlive && (this.#hasLength || isChunkable);
    // A response without framing ends with the connection.
    this.isLast = this.#closes || !isKept;
    this.text =
      text +
      (this.#hasDate ? "" : dateLine()) +
      (this.#closes ? "" : isKept ? this.#kept : "\r\nConnection: close") +
      (this.chunked ? "\r\nTransfer-Encoding: chunked\r\n\r\n" : "\r\n\r\n");
  }

  #addFields(start: string, fields: readonly string[]): string {
    let text = start;
    this.#hasDate = false;
    this.#hasLength = false;
    this.#closes = false;
    for (let i = 0; i < fields.length; i += 2) {
      const value = fields[i + 1] as string;
      const { start: name, lower, underscored } = knownName(fields[i] as string);
      if (name === undefined || !isFieldValue(value)) throw new Error("a field that cannot be sent");
      text += name + value;
      if (underscored) continue;
      if (lower === "date") this.#hasDate = true;
      else if (lower === "content-length") this.#hasLength = true;
      else if (lower === "connection") this.#closes = true;
    }
    return text;
  }
}

/** @throws Error if a field cannot be sent */
export function linesOf(fields: readonly string[]): string {
  let text = "";
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (!isToken(name) || !isFieldValue(value)) throw new Error("a field that cannot be sent");
    text += `${name}: ${value}\r\n`;
  }
  return text;
}

/** Status lines by status. Node's own table is keyed by text; a status has at most three digits. */
const usual = Array.from({ length: 1_000 }, (_, status) => {
  const reason = STATUS_CODES[status] ?? "unknown";
  return { reason, line: `HTTP/1.1 ${status} ${reason}` };
});

function statusLine(status: number, statusText: string | undefined): string {
  const known = usual[status];
  if (known !== undefined && (statusText === undefined || statusText === known.reason)) return known.line;
  const reason = statusText ?? "unknown";
  if (!isFieldValue(reason)) throw new Error("a reason phrase that cannot be sent");
  return `HTTP/1.1 ${status} ${reason}`;
}

let date = "";
let dateSecond = -1;

function dateLine(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = `\r\nDate: ${new Date(second * 1000).toUTCString()}`;
  }
  return date;
}
