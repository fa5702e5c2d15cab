// Strict, incremental parser for the requests on one connection (RFC 9112), one at a time: its owner says when the next
// may be read. Body bytes are passed on as views of what was received. Any split of the bytes gives the same result.
import { ChunkedBody } from "./chunked-body.ts";
import { FieldSection, MALFORMED, NEED_MORE, tooLarge, tooMany } from "./field-section.ts";
import { RequestFraming } from "./request-framing.ts";
import { RequestLine } from "./request-line.ts";

export interface BodySink {
  /** Never empty. */
  onBody(chunk: Buffer): void;
}

const framingField = /^(?:content-length|transfer-encoding)$/i;
/** Where each begins and ends is kept until the head is whole: of the smallest, that takes eight times their bytes. */
const maxFields = 1_000;
/** Of a field, beside its name and value: colon, blank, line end. */
const besideBytes = 4;
const noFields: readonly string[] = [];

export class RequestParser {
  readonly line = new RequestLine();
  readonly framing = new RequestFraming();
  /** name, value, … of the head. */
  fields: readonly string[] = noFields;
  /** What was wrong, after MALFORMED. */
  problem = "";
  /** What was wrong is the size of the head, or of the trailers. */
  overflow = false;
  /** The body has come, if there is one. */
  complete = false;

  readonly #maxHeaderBytes: number;
  readonly #section: FieldSection;
  readonly #chunked: ChunkedBody;
  #lineRead = false;
  #bodyLeft = 0;

  constructor(maxHeaderBytes: number) {
    this.#maxHeaderBytes = maxHeaderBytes;
    // Blanks before values, which do not count, are bounded, too: as the fields are.
    const maxBytes = maxHeaderBytes * 2 + Math.min(maxFields, maxHeaderBytes) * besideBytes;
    this.#section = new FieldSection({ maxBytes, maxFields });
    this.#chunked = new ChunkedBody(this.#section);
  }

  /** Gets ready for the next request. */
  begin(): void {
    this.line.begin();
    this.#section.begin(false);
    this.#chunked.forget();
    // A connection that waits keeps nothing of its last request.
    this.fields = noFields;
    this.#lineRead = false;
    this.complete = false;
  }

  /** Whether some of a head has come. */
  get started(): boolean {
    return this.line.started;
  }

  get trailers(): readonly string[] {
    return this.framing.kind === "chunked" ? this.#chunked.trailers : noFields;
  }

  /** @returns the offset behind the head once it is complete, else NEED_MORE or MALFORMED */
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

  /** Reads of the body what there is. @returns the offset that it came to, or MALFORMED */
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
    // As node:http counts.
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
    // They are dropped elsewhere, but nobody who means well sends them here.
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
