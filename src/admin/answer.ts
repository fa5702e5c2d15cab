// Builds and sends answers of the admin listener: documents, and problems (RFC 9457) for every refusal.
import type { ServerResponse } from "node:http";
import { STATUS_CODES } from "node:http";

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Buffer;
  readonly fields?: Readonly<Record<string, string>>;
}

/** An answer that continues: it writes head and body itself. */
export interface StreamedAnswer {
  /** @throws AdminProblem only before the head is written */
  stream(response: ServerResponse): void;
}

export function jsonAnswer(status: number, document: unknown): Answer {
  return { status, contentType: "application/json", body: `${JSON.stringify(document, null, 2)}\n` };
}

export function textAnswer(status: number, text: string): Answer {
  return { status, contentType: "text/plain; charset=utf-8", body: `${text}\n` };
}

/** A refusal. `detail` is shown to the caller and must hold no secret. */
export class AdminProblem extends Error {
  override readonly name = "AdminProblem";
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;

  constructor(status: number, detail: string, fields: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.status = status;
    this.fields = fields;
  }

  get answer(): Answer {
    const title = STATUS_CODES[this.status] ?? "Error";
    const code = this.status === 500 ? "internal_error" : title.toLowerCase().replace(/\W+/g, "_");
    const { status, message: detail } = this;
    const document = { type: "about:blank", title, status, code, error: title, detail };
    return {
      ...jsonAnswer(this.status, document),
      contentType: "application/problem+json",
      fields: this.fields,
    };
  }
}

/** Sends an answer; Node omits the body for HEAD. With `close` the connection ends after it. */
export function sendAnswer(response: ServerResponse, answer: Answer, close: boolean): void {
  response.writeHead(answer.status, {
    "Content-Type": answer.contentType,
    "Content-Length": Buffer.byteLength(answer.body),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...answer.fields,
    ...(close ? { Connection: "close" } : {}),
  });
  response.end(answer.body);
}
