// Parses the responses on one connection (RFC 9112), strictly and incrementally. Body bytes are passed on as views of
// the received bytes. Any split of the bytes gives the same result.
import { ChunkedBody } from "./chunked-body.ts";
import { FieldSection, MALFORMED, NEED_MORE } from "./field-section.ts";
import { Framing, interimProblem } from "./framing.ts";

/** Receives a response while it is read. It may call `stop` on the parser from within. */
export interface ResponseSink {
  onInterim(status: number, fields: readonly string[]): void;
  onHead(status: number, statusText: string, fields: readonly string[]): void;
  /** @returns false = hold everything that follows until `resume` */
  onBody(chunk: Buffer): boolean;
}

/** The state of a response: `more` bytes are needed, the receiver `paused`, it is `complete`, or it is `invalid`. */
export type Progress = "more" | "paused" | "complete" | "invalid";

/** The limit: a service could otherwise send interim responses without end and never answer. */
export const MAX_INTERIM = 64;

const noFields: readonly string[] = [];

export class ResponseParser {
  /** The fault, after `invalid`. */
  problem = "";
  /** The final head has been read. */
  headSeen = false;
  /** Bytes came after the end of the response. */
  surplus = false;
  readonly framing = new Framing();

  readonly #sink: ResponseSink;
  readonly #section = new FieldSection();
  readonly #chunked = new ChunkedBody(this.#section);
  #phase: "idle" | "head" | "length" | "chunked" | "close" | "complete" | "stopped" = "idle";
  #method = "";
  #bodyLeft = 0;
  #interims = 0;
  /** Bytes that wait for `resume`. */
  #held: Buffer | undefined;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Prepares for the response to a request with `method`. */
  begin(method: string): void {
    this.#method = method;
    this.#phase = "head";
    this.#interims = 0;
    this.#held = undefined;
    this.headSeen = false;
    this.surplus = false;
    this.#section.begin(true);
  }

  get trailers(): readonly string[] {
    return this.framing.kind === "chunked" ? this.#chunked.trailers : noFields;
  }

  /** Parses received bytes; they now belong to the parser and the sink. */
  feed(bytes: Buffer): Progress {
    if (this.#held !== undefined) {
      this.#held = Buffer.concat([this.#held, bytes]);
      return "paused";
    }
    return this.#run(bytes);
  }

  /** Parses the bytes held since the sink paused. */
  resume(): Progress {
    const held = this.#held;
    this.#held = undefined;
    return held === undefined ? "more" : this.#run(held);
  }

  /** Called when the connection ended in order. @returns `complete` only if that is the end of the body */
  end(): Progress {
    if (this.#phase === "close" && this.#held === undefined) this.#phase = "complete";
    return this.#phase === "complete" ? "complete" : "more";
  }

  /** Tells the sink nothing more, not even from bytes that are already here. */
  stop(): void {
    this.#phase = "stopped";
    this.#held = undefined;
  }

  #run(bytes: Buffer): Progress {
    let at = 0;
    while (at < bytes.length) {
      let body = 0;
      switch (this.#phase) {
        case "head":
          at = this.#readHead(bytes, at);
          if (at === NEED_MORE) return "more";
          break;
        case "length":
          body = Math.min(this.#bodyLeft, bytes.length - at);
          this.#bodyLeft -= body;
          if (this.#bodyLeft === 0) this.#phase = "complete";
          break;
        case "close":
          body = bytes.length - at;
          break;
        case "chunked":
          body = Math.min(this.#chunked.dataLeft, bytes.length - at);
          if (body > 0) this.#chunked.took(body);
          else at = this.#readChunkFraming(bytes, at);
          break;
        case "complete":
          this.surplus = true;
          return "complete";
        case "idle":
        case "stopped":
          return "more";
      }
      if (at === MALFORMED) return "invalid";
      if (body > 0) {
        const chunk = body === bytes.length ? bytes : bytes.subarray(at, at + body);
        at += body;
        // After a complete body, the only bytes left to hold belong to no response.
        if (!this.#sink.onBody(chunk) && !this.#isOver()) {
          this.#held = bytes.subarray(at);
          return "paused";
        }
      }
    }
    return this.#phase === "complete" ? "complete" : "more";
  }

  /** The sink may have stopped the parser, which TypeScript does not see. */
  #isOver(): boolean {
    return this.#phase === "complete" || this.#phase === "stopped";
  }

  #readHead(bytes: Buffer, from: number): number {
    const section = this.#section;
    const next = section.read(bytes, from);
    if (next === NEED_MORE) return NEED_MORE;
    if (next === MALFORMED) return this.#invalid(section.problem);
    const { status, fields } = section;
    if (status < 200) {
      const problem = interimProblem(status, section.minorVersion, fields);
      if (problem !== undefined) return this.#invalid(problem);
      this.#interims += 1;
      if (this.#interims > MAX_INTERIM) return this.#invalid("too many interim responses");
      section.begin(true);
      this.#sink.onInterim(status, fields);
      return next;
    }
    const problem = this.framing.readFinal(this.#method, status, section.minorVersion, fields);
    if (problem !== undefined) return this.#invalid(problem);
    this.#beginBody();
    this.headSeen = true;
    this.#sink.onHead(status, section.statusText, fields);
    return next;
  }

  #beginBody(): void {
    const { kind, length } = this.framing;
    this.#phase = kind === "none" ? "complete" : kind;
    this.#bodyLeft = length;
    if (kind === "chunked") this.#chunked.begin();
  }

  #readChunkFraming(bytes: Buffer, from: number): number {
    const next = this.#chunked.readFraming(bytes, from);
    if (next === MALFORMED) return this.#invalid(this.#chunked.problem);
    if (this.#chunked.complete) this.#phase = "complete";
    return next;
  }

  #invalid(problem: string): typeof MALFORMED {
    this.problem = problem;
    this.#phase = "stopped";
    return MALFORMED;
  }
}
