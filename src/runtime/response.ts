// Holds a response on its way from the upstream (or a plugin, or an error) to the client. It is a value until
// respond.ts writes it.
import type { Duplex } from "node:stream";
import type { BodyTap, ExchangeResponse, RespondVerdict } from "../plugin-api/contract.ts";
import { type TapFaults, Taps } from "./taps.ts";
import { errorKinds, type GatewayError } from "../plugin-api/errors.ts";
import { Fields } from "../plugin-api/fields.ts";
import { pairsOf } from "../plugin-api/pairs.ts";

const noFields: readonly string[] = [];

export interface BodySource {
  /** @returns undefined when the body is longer, or breaks off; what has arrived is kept */
  collect(maxBytes: number): Promise<Buffer | undefined>;
}

export class LiveResponse implements ExchangeResponse {
  status: number;
  statusText: string | undefined;
  readonly fields: Fields;
  readonly origin: "upstream" | "sidecar";
  readonly error: GatewayError | undefined;
  failedOpen = false;
  /** Status as the upstream sent it; undefined for the sidecar's own answer. */
  received: number | undefined = undefined;
  /** The body in memory; undefined = the upstream's body streams. */
  body: Buffer | undefined;
  taps: Taps | undefined = undefined;
  transforms: Duplex[] | undefined = undefined;
  /** Is told what the taps throw. */
  faults: TapFaults | undefined = undefined;

  /** The source of an upstream's body. */
  source: BodySource | undefined = undefined;

  #trailers: Fields | undefined = undefined;
  #received: readonly string[] = noFields;

  private constructor(
    status: number,
    fields: Fields,
    origin: "upstream" | "sidecar",
    body: Buffer | undefined,
    error?: GatewayError,
  ) {
    this.status = status;
    this.fields = fields;
    this.origin = origin;
    this.body = body;
    this.error = error;
  }

  /** @param fields end-to-end fields of the upstream's head */
  static fromUpstream(status: number, statusText: string, fields: Fields): LiveResponse {
    const response = new LiveResponse(status, fields, "upstream", undefined);
    response.received = status;
    response.statusText = statusText;
    return response;
  }

  static fromVerdict(verdict: RespondVerdict): LiveResponse {
    const fields = new Fields(verdict.fields);
    const body = toBuffer(verdict.body ?? "");
    if (mayHaveBody(verdict.status)) fields.set("Content-Length", String(body.length));
    return new LiveResponse(verdict.status, fields, "sidecar", body);
  }

  /** The problem document of an error (RFC 9457), marked as ours by Proxy-Status (RFC 9209). */
  static fromError(error: GatewayError, requestId: string): LiveResponse {
    const { status, error: text, proxyStatus } = errorKinds[error.code];
    const document = {
      type: error.type,
      title: text,
      status,
      detail: error.detail,
      ...error.members,
      error: text,
      code: error.code,
      requestId,
    };
    const body = Buffer.from(JSON.stringify(document));
    const fields = new Fields(error.fields);
    fields.set("Content-Type", "application/problem+json");
    fields.set("Content-Length", String(body.length));
    fields.set("Proxy-Status", `outrigger; error=${proxyStatus}`);
    // A refusal is for this request only, unless its fields say otherwise.
    if (!fields.has("cache-control")) fields.set("Cache-Control", "no-store");
    return new LiveResponse(status, fields, "sidecar", body, error);
  }

  get trailers(): Fields {
    return (this.#trailers ??= new Fields(this.#received));
  }

  /** Takes trailers that the upstream sent. @param flat name, value, … */
  receiveTrailers(flat: readonly string[]): void {
    if (this.#trailers === undefined) this.#received = flat;
    else for (const [name, value] of pairsOf(flat)) this.#trailers.append(name, value);
  }

  /** name, value, … of the trailers known so far. */
  get flatTrailers(): readonly string[] {
    return this.#trailers?.toFlat() ?? this.#received;
  }

  readBody(maxBytes: number): Promise<Buffer | undefined> {
    if (this.body !== undefined) return Promise.resolve(this.body.length > maxBytes ? undefined : this.body);
    // The transforms' output comes only after the head is sent.
    if (this.transforms !== undefined) return Promise.resolve(undefined);
    return this.source?.collect(maxBytes) ?? Promise.resolve(undefined);
  }

  replaceBody(body: string | Buffer): void {
    this.body = toBuffer(body);
    // The upstream's reason phrase belongs to its status, which this answer may no longer have.
    this.statusText = undefined;
    this.fields.delete("transfer-encoding");
    this.fields.delete("trailer");
    if (mayHaveBody(this.status)) this.fields.set("Content-Length", String(this.body.length));
    else this.fields.delete("content-length");
  }

  tap(tap: BodyTap): void {
    (this.taps ??= new Taps(this.faults)).add(tap);
  }

  through(transform: Duplex): void {
    (this.transforms ??= []).push(transform);
  }

  /** The response will not be sent, or not completely. */
  discard(): void {
    this.taps?.abort();
    for (const transform of this.transforms ?? []) transform.destroy();
  }
}

/** RFC 9110 section 6.4.1: responses with 1xx, 204 and 304 never carry content. */
export function mayHaveBody(status: number): boolean {
  return status >= 200 && status !== 204 && status !== 304;
}

function toBuffer(body: string | Buffer): Buffer {
  return typeof body === "string" ? Buffer.from(body) : body;
}
