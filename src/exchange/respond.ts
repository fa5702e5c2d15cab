// Writes everything that a client gets: heads, bodies, interim responses, and the reset that marks a broken answer.
import type { GatewayError } from "../plugin-api/errors.ts";
import { Fields } from "../plugin-api/fields.ts";
import { mayHaveBody, type LiveResponse } from "../runtime/response.ts";
import { isFinalStatus } from "../runtime/verdict.ts";
import { BodyTransforms } from "./body-transforms.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import { readContentLength } from "../http1/content-length.ts";
import { isAlwaysHopByHop } from "../http1/hop-by-hop.ts";
import { allowedTrailers } from "../http1/trailers.ts";
import { ClientTaker } from "./client-taker.ts";
import { earlyEnd, isEventStream } from "./early-end.ts";
import { refuseAsGrpc } from "./grpc-refusal.ts";
import { EarlyBody } from "./early-body.ts";
import type { MessageFollower } from "./messages.ts";
import type { ServerStream } from "./server-stream.ts";

export interface WriterEvents {
  /** The client can take more body. */
  resumeUpstream(): void;
  /** The response cannot be completed: a body transform failed, or the body does not match what the head announced. */
  onBroken(): void;
  /** The same, by a fault of the sidecar. */
  crashed(error: unknown): void;
}

/** RFC 9110 section 15.3.6: it has no content, but must say so, as clients do not assume it. */
const resetContent = 205;
const none: readonly string[] = [];

/** Writes one response. After `reset` or the client's leaving, everything is a no-op. */
export class ClientWriter extends ClientTaker {
  /** The status of the head that was sent; 0 before. */
  status = 0;
  /** Whether the client speaks gRPC: the sidecar's errors are then sent as gRPC statuses. */
  grpc = false;
  /** The status of a gRPC call, from the response. */
  grpcStatus: number | undefined = undefined;
  /** Counts the messages of a gRPC call. */
  messages: MessageFollower | undefined = undefined;
  /** Bytes of content handed to the client. */
  bytes = 0;
  readonly #events: WriterEvents;
  #response: LiveResponse | undefined = undefined;
  #transforms: BodyTransforms | undefined = undefined;
  #early: EarlyBody | undefined = undefined;
  #bodiless = false;
  /** Bytes that the head announced and that have not come yet. */
  #left = Infinity;
  #over = false;
  /** Only `close` ends the connection. */
  #held = false;

  /** @param client the one whose memory budget a waiting answer uses */
  constructor(stream: ServerStream, events: WriterEvents, limits: ClientLimits, client: string) {
    super(stream, limits, client);
    this.#events = events;
  }

  get headSent(): boolean {
    return this.status !== 0;
  }

  /**
   * Writes the head. A body in memory follows with `endWhole` or `endHeld`, once the exchange knows that the head is
   * out.
   * @param close whether to tell the client that the connection ends after this response
   * @throws Error if a plugin or the service made a head that cannot be sent
   */
  head(response: LiveResponse, close: boolean): void {
    if (this.grpc && response.error !== undefined) refuseAsGrpc(response);
    const { status, fields, transforms } = response;
    if (!isFinalStatus(status)) throw new Error(`${status} is no status`);
    this.#bodiless = this.stream.method === "HEAD" || !mayHaveBody(status) || status === resetContent;
    // No plugin makes the changes from here on.
    fields.watcher = undefined;
    // Fields that the service's Connection field named were removed when its head came.
    fields.deleteWhere(isAlwaysHopByHop);
    // RFC 9110 section 8.6 for 204. A length from before a transform would shift the start of the next response.
    if (status === 204 || transforms !== undefined) fields.delete("content-length");
    this.#left = this.#bodiless ? Infinity : announcedBytes(fields.get("content-length"));
    if (status === resetContent) fields.set("Content-Length", "0");
    if (fields.has("trailer") && !this.#takesTrailers) fields.delete("trailer");
    if (close) fields.set("Connection", "close");
    // The service's reason phrase only fits its own status.
    const statusText = status === response.received ? response.statusText : undefined;
    this.stream.respond(status, statusText, fields.toFlat());
    this.#response = response;
    this.status = status;
    if (this.grpc) this.#noteGrpc(fields.get("grpc-status"));
    // Not earlier: if this head cannot be sent, the response in its place does not go through the transforms.
    if (transforms !== undefined) this.#lead(transforms);
    if (response.body !== undefined) {
      this.#early?.giveUp();
      this.#early = undefined;
    }
  }

  /** Takes a chunk of the upstream's body; chunks before the head wait. @returns false = wait for `resumeUpstream` */
  chunk(bytes: Buffer): boolean {
    if (this.#response === undefined) {
      return (this.#early ??= new EarlyBody()).push(bytes);
    }
    // A replaced body is dropped.
    return this.#response.body === undefined ? this.#take(bytes) : true;
  }

  /** Collects the whole body before the head is out. @returns undefined if it is longer, or breaks off */
  collect(maxBytes: number): Promise<Buffer | undefined> {
    return (this.#early ??= new EarlyBody()).collect(maxBytes, () => this.#events.resumeUpstream());
  }

  /** The upstream's body is complete. @param trailers name, value, … */
  end(trailers: readonly string[]): void {
    if (this.#response === undefined) (this.#early ??= new EarlyBody()).end(trailers);
    else if (this.#response.body === undefined) {
      if (trailers.length > 0) this.#response.receiveTrailers(trailers);
      this.#end();
    }
  }

  /** Call once the head is out: writes the part of the body that came meanwhile. */
  flush(): void {
    const early = this.#early;
    this.#early = undefined;
    let more = true;
    for (const chunk of early?.chunks ?? []) more = this.#take(chunk);
    if (early?.trailers !== undefined) this.end(early.trailers);
    else if (early !== undefined && more) this.#events.resumeUpstream();
  }

  /** Writes a body that is in memory, and ends the response. */
  endWhole(): void {
    const body = this.#response?.body;
    if (body !== undefined) this.#take(body);
    this.#end();
  }

  /** The same, and ends this side of the connection; `close` ends the connection itself. */
  endHeld(): void {
    this.#held = true;
    this.endWhole();
  }

  /** Everything was handed to the client; only the end of the connection may be left. */
  get through(): boolean {
    return this.#over;
  }

  close(): void {
    this.#held = false;
    // Otherwise a transform is still running, and ends the response as usual.
    if (this.#over) this.stream.destroy();
  }

  /** Whether the response lasts as long as its client likes. */
  get isEventStream(): boolean {
    return this.#response !== undefined && isEventStream(this.#response);
  }

  /**
   * Ends a response early, if its kind can say so to the client.
   * @param ours whether this side ends the response; otherwise it broke
   * @returns false = the response can only be reset
   */
  endEarly(error: GatewayError, ours: boolean): boolean {
    const response = this.#response;
    if (response === undefined || this.#over || this.#bodiless || this.#left !== Infinity) return false;
    const trailers = earlyEnd(response, error, { grpc: this.grpc, ours });
    if (trailers === undefined) return false;
    this.abandoned();
    this.#endWith(trailers);
    return true;
  }

  /** Ends a broken response so that it cannot be taken for a complete one. */
  reset(): void {
    this.abandoned();
    this.stream.reset();
  }

  /** Gives the response up, for example because the client left before its end. */
  abandoned(): void {
    this.#over = true;
    this.#early?.giveUp();
    this.#response?.discard();
  }

  /** Releases everything: the exchange is over. */
  settle(): void {
    this.release();
  }

  /** Written bytes wait for the client. */
  blocked(): void {
    this.limits.taking.watch(this);
  }

  /** The client has taken the written bytes. */
  drained(): void {
    this.release();
    if (this.#transforms === undefined) this.#events.resumeUpstream();
    else this.#transforms.resume();
  }

  #take(bytes: Buffer): boolean {
    if (bytes.length === 0 || this.#bodiless || this.#over) return true;
    return this.#transforms === undefined ? this.#write(bytes) : this.#transforms.write(bytes);
  }

  #end(): void {
    if (this.#over) return;
    if (this.#transforms === undefined) this.#finish();
    else this.#transforms.end();
  }

  #write(bytes: Buffer): boolean {
    if (this.stream.destroyed) return true;
    this.#left -= bytes.length;
    if (this.#left < 0) {
      this.#events.onBroken();
      return true;
    }
    this.bytes += bytes.length;
    this.messages?.follow(bytes);
    this.#response?.taps?.chunk(bytes);
    return this.stream.write(bytes) || this.mayRunAhead();
  }

  #finish(): void {
    if (this.#left > 0 && this.#left < Infinity) {
      this.#events.onBroken();
      return;
    }
    this.#over = true;
    this.#response?.taps?.end();
    // The end of a body without a length must be written.
    if (this.#held && (this.#bodiless || this.#left === 0)) this.stream.endHalf();
    else this.#endWith(this.#response?.flatTrailers ?? none);
  }

  #noteGrpc(status: string | undefined): void {
    if (status !== undefined && /^\d{1,2}$/.test(status)) this.grpcStatus = Number(status);
  }

  #endWith(trailers: readonly string[]): void {
    if (this.grpc) this.#noteGrpc(new Fields(trailers).get("grpc-status"));
    try {
      this.stream.end(trailers.length > 0 && this.#takesTrailers ? allowedTrailers(trailers) : none);
    } catch (error) {
      // A plugin made a trailer that cannot be sent.
      this.#events.crashed(error);
    }
  }

  #lead(transforms: BodyTransforms["streams"]): void {
    if (this.#bodiless) {
      for (const transform of transforms) transform.destroy();
      return;
    }
    this.#transforms = new BodyTransforms(transforms, {
      out: (bytes) => this.#over || this.#write(bytes),
      ended: () => {
        if (!this.#over) this.#finish();
      },
      writable: () => this.#events.resumeUpstream(),
      broken: () => {
        if (!this.#over) this.#events.onBroken();
      },
      stallMs: this.limits.stallMs,
    });
  }

  get #takesTrailers(): boolean {
    return !this.#bodiless && this.stream.takesTrailers(this.#left !== Infinity);
  }
}

/** @throws Error if the value is not one number: the client would read another body than was written */
function announcedBytes(contentLength: string | undefined): number {
  if (contentLength === undefined) return Infinity;
  const bytes = readContentLength(contentLength);
  if (bytes === undefined) throw new Error("Content-Length is not one number");
  return bytes;
}
