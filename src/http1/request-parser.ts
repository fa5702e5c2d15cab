// Parses the requests on one connection (RFC 9112), strictly and incrementally, one at a time: its owner decides when
// the next is read. Body bytes are passed on as views of the received bytes. Any split of the bytes gives the same
// result.
import { ChunkedBody } from "./chunked-body.ts";
import { FieldSection, MALFORMED, NEED_MORE, tooLarge, tooMany } from "./field-section.ts";
import { RequestFraming } from "./request-framing.ts";
import { RequestLine } from "./request-line.ts";

export interface BodySink {
  /** Never empty. */
  onBody(chunk: Buffer): void;
}

const framingField = /^(?:content-length|transfer-encoding)$/i;
/** Bounds the offsets kept until the head is complete: small fields' offsets take eight times the fields' bytes. */
const maxFields = 1_000;
/** Bytes of a field besides its name and value: colon, blank, line end. */
const besideBytes = 4;
const noFields: readonly string[] = [];

export class RequestParser {
  readonly line = new RequestLine();
  readonly framing = new RequestFraming();
  /** name, value, … of the head. */
  fields: readonly string[] = noFields;
  /** The fault, after MALFORMED. */
  problem = "";
  /** The fault is the size of the head or of the trailers. */
  overflow = false;
  /** The body is complete, or there is none. */
  complete = false;

  readonly #maxHeaderBytes: number;
  readonly #section: FieldSection;
  readonly #chunked: ChunkedBody;
  #lineRead = false;
  #bodyLeft = 0;

  constructor(maxHeaderBytes: number) {
    this.#maxHeaderBytes = maxHeaderBytes;
    // Blanks before values do not count as content, so they need this bound of their own.
    const maxBytes = maxHeaderBytes * 2 + Math.min(maxFields, maxHeaderBytes) * besideBytes;
    this.#section = new FieldSection({ maxBytes, maxFields });
    this.#chunked = new ChunkedBody(this.#section);
  }

  /** Prepares for the next request. */
  begin(): void {
    this.line.begin();
    this.#section.begin(false);
    this.#chunked.forget();
    // A waiting connection keeps nothing of its last request.
    this.fields = noFields;
    this.#lineRead = false;
    this.complete = false;
  }

  /** Whether part of a head has come. */
  get started(): boolean {
    return this.line.started;
  }

  get trailers(): readonly string[] {
    return this.framing.kind === "chunked" ? this.#chunked.trailers : noFields;
  }

  /** @returns the offset after the head once it is complete, else NEED_MORE or MALFORMED */
  readHead(bytes: Buffer, from: number): number {
    const { line } = this;
    let at = from;
    if (!this.#lineRead) {
      at = line.read(bytes, from);
      if (line.targetBytes >= this.#maxHeaderBytes) return this.#malformed(tooLarge);
      if (at === MALFORMED) return this.#malformed(line.problem);
      if (at === NEED_MORE) return NEED_MORE;
      this.#lineRead = true;
    }
    const end = this.#readSection(bytes, at);
    if (end < 0) return end;
    this.fields = this.#section.fields;
    const problem = this.framing.read(line.httpVersion, this.fields);
    if (problem !== undefined) return this.#malformed(problem);
    const { kind, length } = this.framing;
    this.complete = kind === "none";
    this.#bodyLeft = length;
    if (kind === "chunked") this.#chunked.begin();
    return end;
  }

  /** Reads the available part of the body. @returns the offset at which it stopped, or MALFORMED */
  readBody(bytes: Buffer, from: number, sink: BodySink): number {
    let at = from;
    while (at < bytes.length && !this.complete) {
      const isChunked = this.framing.kind === "chunked";
      const left = isChunked ? this.#chunked.dataLeft : this.#bodyLeft;
      if (left === 0) {
        at = this.#readChunkFraming(bytes, at);
        if (at === MALFORMED) return MALFORMED;
        continue;
      }
      const end = Math.min(at + left, bytes.length);
      if (isChunked) this.#chunked.took(end - at);
      else {
        this.#bodyLeft -= end - at;
        this.complete = this.#bodyLeft === 0;
      }
      const chunk = at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end);
      at = end;
      sink.onBody(chunk);
    }
    return at;
  }

  #readSection(bytes: Buffer, from: number): number {
    const end = this.#section.read(bytes, from);
    // Counts as node:http does.
    if (this.line.targetBytes + this.#section.contentBytes >= this.#maxHeaderBytes)
      return this.#malformed(tooLarge);
    if (end === MALFORMED) return this.#malformed(this.#section.problem);
    return end;
  }

  #readChunkFraming(bytes: Buffer, from: number): number {
    const chunked = this.#chunked;
    const next = chunked.readFraming(bytes, from);
    if (chunked.readsTrailers && this.#section.contentBytes >= this.#maxHeaderBytes)
      return this.#malformed(tooLarge);
    if (next === MALFORMED) return this.#malformed(chunked.problem);
    this.complete = chunked.complete;
    // Such trailers are dropped elsewhere, but no honest client sends them.
    if (this.complete && this.#section.fields.some((name, i) => i % 2 === 0 && framingField.test(name)))
      return this.#malformed("a trailer that would frame the body");
    return next;
  }

  #malformed(problem: string): typeof MALFORMED {
    this.problem = problem;
    this.overflow = problem === tooLarge || problem === tooMany;
    return MALFORMED;
  }
}
