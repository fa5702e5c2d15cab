// Reads one section of field lines, with or without a status line before it: a head, an interim head or trailers
// (RFC 9112 sections 4, 5 and 7.1.2). It works byte by byte and can pause at any byte, so every split reads alike.
import { tokenCharacter } from "../language/field-name.ts";
import { inOwnMemory } from "./own-memory.ts";

/** `read` returns these instead of an offset. */
export const NEED_MORE = -1;
export const MALFORMED = -2;

/** A head is buffered as a whole, so it needs limits. */
export interface SectionLimits {
  readonly maxBytes: number;
  readonly maxFields: number;
}

/** Far above what services send. */
const ofServices: SectionLimits = { maxBytes: 64 * 1024, maxFields: 256 };

/** Problems of size, as opposed to form. */
export const tooLarge = "fields too large";
export const tooMany = "too many fields";

/** When a section comes in this many parts, they are merged: a small part takes far more memory than its bytes. */
const maxParts = 64;
const noFields: readonly string[] = [];

export const TOKEN = 1;
const TEXT = 2;
const HTAB = 9;
const LF = 10;
const CR = 13;
const SP = 32;
const COLON = 58;

/** What each byte may be: part of a token (RFC 9110 section 5.6.2) or of a field value (section 5.5). */
export const byteClass = new Uint8Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  if (byte === HTAB || (byte >= SP && byte !== 127)) byteClass[byte] = TEXT;
}
const token = new RegExp(tokenCharacter);
for (let byte = 0; byte < 128; byte += 1) {
  if (token.test(String.fromCharCode(byte))) byteClass[byte] = TOKEN | TEXT;
}

const versionPrefix = Buffer.from("HTTP/1.");
const STATUS_LINE_START = 13;

/** The place of the next byte. Not an enum: enums are not erasable syntax. */
const At = {
  statusLine: 0,
  reason: 1,
  lineEnd: 2,
  lineStart: 3,
  name: 4,
  beforeValue: 5,
  value: 6,
  sectionEnd: 7,
} as const;
type Place = (typeof At)[keyof typeof At];

/** Reads all sections of one connection, one after the other. */
export class FieldSection {
  /** The `x` in `HTTP/1.x`: 0 or 1. */
  minorVersion = 1;
  status = 0;
  statusText = "";
  /** name, value, name, value … of the section last read. */
  fields: readonly string[] = noFields;
  /** The fault, after `read` returned MALFORMED. */
  problem = "";
  /** Bytes of the section so far; after MALFORMED, the bytes before the fault. */
  bytes = 0;

  readonly #maxBytes: number;
  readonly #maxMarks: number;
  #place: Place = At.lineStart;
  #hasStatusLine = false;
  /** Bytes of the section from earlier calls. */
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** Offsets from the section's start, four per field: name, its end, value, its end. */
  readonly #marks: number[] = [];
  /** The marks of this section. The array keeps those of longer ones before it: setting its length would free it. */
  #marked = 0;
  /** How many marks `contentBytes` has counted, and the bytes between them. */
  #counted = 0;
  #countedBytes = 0;
  #reasonEnd = 0;

  constructor({ maxBytes, maxFields }: SectionLimits = ofServices) {
    this.#maxBytes = maxBytes;
    this.#maxMarks = maxFields * 4;
  }

  /** Bytes of names and values so far, including the blanks after them. */
  get contentBytes(): number {
    const marks = this.#marks;
    // Each mark is counted once: a head may come byte by byte.
    for (; this.#counted + 1 < this.#marked; this.#counted += 2)
      this.#countedBytes += (marks[this.#counted + 1] as number) - (marks[this.#counted] as number);
    const hasOpen = this.#counted < this.#marked;
    return this.#countedBytes + (hasOpen ? this.bytes - (marks[this.#counted] as number) : 0);
  }

  /** Prepares for the next section. */
  begin(hasStatusLine: boolean): void {
    this.bytes = 0;
    this.#hasStatusLine = hasStatusLine;
    this.#place = hasStatusLine ? At.statusLine : At.lineStart;
    if (this.#keptBytes > 0) this.#kept = [];
    this.fields = noFields;
    this.#keptBytes = 0;
    this.#marked = 0;
    this.#counted = 0;
    this.#countedBytes = 0;
  }

  /** Whether a section has begun but not ended. */
  get started(): boolean {
    return this.#keptBytes > 0;
  }

  /** @returns the offset after the section once it is complete, else NEED_MORE or MALFORMED */
  read(bytes: Buffer, from: number): number {
    // Offsets are within the section: kept bytes come before `bytes`.
    const shift = this.#keptBytes - from;
    const end = this.#scan(bytes, from, shift);
    if (end === MALFORMED) return MALFORMED;
    const sectionBytes = (end === NEED_MORE ? bytes.length : end) + shift;
    this.bytes = sectionBytes;
    if (sectionBytes > this.#maxBytes) return this.#malformed(tooLarge, sectionBytes);
    if (end === NEED_MORE) {
      if (from < bytes.length) this.#kept.push(inOwnMemory(from === 0 ? bytes : bytes.subarray(from)));
      if (this.#kept.length === maxParts) this.#kept = [Buffer.concat(this.#kept)];
      this.#keptBytes = sectionBytes;
      return NEED_MORE;
    }
    this.#take(bytes, from, end);
    return end;
  }

  #scan(bytes: Buffer, from: number, shift: number): number {
    let place = this.#place;
    for (let i = from; i < bytes.length; i += 1) {
      const byte = bytes[i] as number;
      switch (place) {
        case At.value:
          while (i < bytes.length && (byteClass[bytes[i] as number] as number) !== 0) i += 1;
          if (i === bytes.length) break;
          if (bytes[i] !== CR) return this.#malformed("control character in a field value", i + shift);
          this.#mark(i + shift);
          place = At.lineEnd;
          break;
        case At.name:
          while (i < bytes.length && ((byteClass[bytes[i] as number] as number) & TOKEN) !== 0) i += 1;
          if (i === bytes.length) break;
          if (bytes[i] !== COLON) return this.#malformed("bad character in a field name", i + shift);
          this.#mark(i + shift);
          place = At.beforeValue;
          break;
        case At.beforeValue:
          if (byte === SP || byte === HTAB) break;
          this.#mark(i + shift);
          place = At.value;
          i -= 1;
          break;
        case At.lineStart:
          place = byte === CR ? At.sectionEnd : At.name;
          if (byte !== CR && !this.#beginsField(byte, i + shift)) return MALFORMED;
          break;
        case At.lineEnd:
        case At.sectionEnd:
          if (byte !== LF) return this.#malformed("bare CR", i + shift);
          if (place === At.sectionEnd) return i + 1;
          place = At.lineStart;
          break;
        case At.statusLine:
        case At.reason:
          if (!this.#statusLineByte(byte, i + shift)) return this.#malformed("bad status line", i + shift);
          place = this.#place;
          break;
      }
    }
    this.#place = place;
    return NEED_MORE;
  }

  /** @returns whether a field line may begin with this byte; if so, it is marked */
  #beginsField(byte: number, at: number): boolean {
    // Also catches obsolete folding, an empty name and a bare LF.
    if (((byteClass[byte] as number) & TOKEN) === 0) this.#malformed("bad start of a field line", at);
    else if (this.#marked === this.#maxMarks) this.#malformed(tooMany, at);
    else {
      this.#mark(at);
      return true;
    }
    return false;
  }

  #mark(at: number): void {
    this.#marks[this.#marked] = at;
    this.#marked += 1;
  }

  /** @param at offset in the section @returns whether the byte may stand there; moves `#place` on */
  #statusLineByte(byte: number, at: number): boolean {
    const digit = byte >= 48 && byte <= 57;
    if (at < 7) return byte === versionPrefix[at];
    if (at === 7) {
      this.minorVersion = byte - 48;
      return byte === 48 || byte === 49;
    }
    if (at === 8) return byte === SP;
    if (at < 12) {
      this.status = at === 9 ? byte - 48 : this.status * 10 + byte - 48;
      return digit && (at > 9 || byte !== 48);
    }
    if (byte === CR) {
      this.#reasonEnd = at;
      this.#place = At.lineEnd;
      return true;
    }
    // A status line that ends right after the code breaks the grammar, but is common, and its meaning is clear.
    this.#place = At.reason;
    return at === 12 ? byte === SP : (byteClass[byte] as number) !== 0;
  }

  #take(bytes: Buffer, from: number, end: number): void {
    let text: string;
    if (this.#keptBytes === 0) text = bytes.toString("latin1", from, end);
    else {
      text = Buffer.concat([...this.#kept, bytes.subarray(from, end)]).toString("latin1");
      this.#kept = [];
    }
    if (this.#hasStatusLine) this.statusText = text.slice(STATUS_LINE_START, this.#reasonEnd);
    const marks = this.#marks;
    const fields: string[] = [];
    for (let i = 0; i < this.#marked; i += 4) {
      const start = marks[i + 2] as number;
      let stop = marks[i + 3] as number;
      while (stop > start && isBlank(text.charCodeAt(stop - 1))) stop -= 1;
      fields.push(text.slice(marks[i], marks[i + 1]), text.slice(start, stop));
    }
    this.fields = fields;
  }

  #malformed(problem: string, at: number): typeof MALFORMED {
    this.problem = problem;
    this.bytes = at;
    return MALFORMED;
  }
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}
