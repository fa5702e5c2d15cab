// Decodes the chunked transfer coding (RFC 9112 section 7.1) strictly; the bytes may be split anywhere. Extensions are
// bounded and ignored.
import { allowedTrailers } from "./trailers.ts";
import { type FieldSection, MALFORMED, NEED_MORE } from "./field-section.ts";

/** Limit for the sum over one body: endless bytes could hide in extensions. */
const MAX_EXTENSION_BYTES = 16 * 1024;
/** Up to 2^52 bytes: sizes stay exact numbers. */
const MAX_SIZE_DIGITS = 13;

const noTrailers: readonly string[] = [];
const CR = 13;
const LF = 10;
const SEMICOLON = 59;

const At = { size: 0, extension: 1, sizeEnd: 2, data: 3, dataCr: 4, dataLf: 5, trailers: 6 } as const;
type Place = (typeof At)[keyof typeof At];

export class ChunkedBody {
  /** Trailers of the body, once it is complete. */
  trailers: readonly string[] = noTrailers;
  problem = "";
  complete = false;

  readonly #section: FieldSection;
  #place: Place = At.size;
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;
  #blanksOnly = false;

  constructor(section: FieldSection) {
    this.#section = section;
  }

  /** Drops the trailers of the last body. */
  forget(): void {
    this.trailers = noTrailers;
  }

  begin(): void {
    this.complete = false;
    this.#place = At.size;
    this.#size = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
  }

  /** How many of the next bytes are body: 0 if framing has to be read first. */
  get dataLeft(): number {
    return this.#place === At.data ? this.#size : 0;
  }

  /** Whether the next bytes are trailers, or the end after them. */
  get readsTrailers(): boolean {
    return this.#place === At.trailers;
  }

  /** Notes that the caller took `byteCount` of `dataLeft`. */
  took(byteCount: number): void {
    this.#size -= byteCount;
    if (this.#size === 0) this.#place = At.dataCr;
  }

  /** Reads framing up to the next body byte or the end. @returns the offset at which it stopped, or MALFORMED */
  readFraming(bytes: Buffer, from: number): number {
    let i = from;
    while (i < bytes.length) {
      if (this.#place === At.trailers) return this.#readTrailers(bytes, i);
      if (!this.#framingByte(bytes[i] as number)) return MALFORMED;
      i += 1;
      if (this.#place === At.data) return i;
    }
    return i;
  }

  /** @returns whether the byte may stand here; if not, `problem` says why */
  #framingByte(byte: number): boolean {
    switch (this.#place) {
      case At.size:
        return this.#sizeByte(byte);
      case At.extension:
        return this.#extensionByte(byte);
      case At.sizeEnd:
        if (this.#size === 0) {
          this.#place = At.trailers;
          this.#section.begin(false);
        } else this.#place = At.data;
        return byte === LF || this.#bad("bare CR in a chunk size");
      case At.dataCr:
        this.#place = At.dataLf;
        return byte === CR || this.#bad("chunk longer than its size");
      case At.dataLf:
        this.#place = At.size;
        this.#digits = 0;
        return byte === LF || this.#bad("bare CR after a chunk");
      case At.data:
      case At.trailers:
        break;
    }
    return true;
  }

  #sizeByte(byte: number): boolean {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#size = this.#digits === 0 ? digit : this.#size * 16 + digit;
      this.#digits += 1;
      return this.#digits <= MAX_SIZE_DIGITS || this.#bad("chunk size too long");
    }
    if (this.#digits === 0) return this.#bad("bad chunk size");
    if (byte === CR) this.#place = At.sizeEnd;
    else {
      this.#place = At.extension;
      this.#blanksOnly = true;
      return this.#extensionByte(byte);
    }
    return true;
  }

  #extensionByte(byte: number): boolean {
    this.#extensionBytes += 1;
    if (this.#extensionBytes > MAX_EXTENSION_BYTES) return this.#bad("chunk extensions too large");
    const blank = byte === 32 || byte === 9;
    // Blanks may stand before the semicolon of an extension (RFC 9112 section 7.1.1), not before anything else.
    if (this.#blanksOnly && !blank) {
      this.#blanksOnly = false;
      return byte === SEMICOLON || this.#bad("bad chunk size");
    }
    if (byte === CR) this.#place = At.sizeEnd;
    else if (!blank && (byte < 32 || byte === 127))
      return this.#bad("control character in a chunk extension");
    return true;
  }

  #readTrailers(bytes: Buffer, from: number): number {
    const next = this.#section.read(bytes, from);
    if (next === NEED_MORE) return bytes.length;
    if (next === MALFORMED) this.problem = this.#section.problem;
    else {
      const fields = this.#section.fields;
      this.trailers = allowedTrailers(fields);
      this.complete = true;
    }
    return next;
  }

  #bad(problem: string): false {
    this.problem = problem;
    return false;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
