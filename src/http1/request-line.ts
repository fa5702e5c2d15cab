// Reads a request line (RFC 9112 section 3) byte by byte, so that every split reads alike and a fault is found at its
// first byte. request-head.ts decides which targets are valid.
import { METHODS } from "node:http";
import { byteClass, MALFORMED, NEED_MORE, TOKEN } from "./field-section.ts";
import { inOwnMemory } from "./own-memory.ts";

const LF = 10;
const CR = 13;
const SP = 32;
const DEL = 127;

const versionPrefix = Buffer.from("HTTP/");
/** 2.0 and 0.9 are refused later, with their request; all others are no versions. */
const versions = ["1.1", "1.0", "2.0", "0.9"];
/** The usual ones come first. */
const methods = [...new Set(["GET", "POST", "PUT", "HEAD", "PATCH", "DELETE", "OPTIONS", ...METHODS])];
const maxMethodLength = Math.max(...METHODS.map((name) => name.length));

const At = { start: 0, method: 1, target: 2, version: 3, lineEnd: 4 } as const;
type Place = (typeof At)[keyof typeof At];
/** The length of `HTTP/1.1`. */
const versionBytes = 8;

export class RequestLine {
  method = "";
  target = "";
  httpVersion = "1.1";
  /** The fault, after MALFORMED. */
  problem = "";
  /** Bytes of the line so far, without empty lines before it; after MALFORMED, the bytes before the fault. */
  bytes = 0;

  #place: Place = At.start;
  /** Bytes of the line from earlier calls. */
  #kept: Buffer | undefined = undefined;
  #methodEnd = 0;
  #targetEnd = 0;

  /** Bytes of the target so far. */
  get targetBytes(): number {
    if (this.#place === At.start || this.#place === At.method) return 0;
    const end = this.#place === At.target ? this.bytes : this.#targetEnd;
    return end - this.#methodEnd - 1;
  }

  begin(): void {
    this.#place = At.start;
    this.#kept = undefined;
    this.bytes = 0;
    this.target = "";
  }

  /** Whether part of the line has come. */
  get started(): boolean {
    return this.#place !== At.start;
  }

  /** @returns the offset after the line once it is complete, else NEED_MORE or MALFORMED */
  read(bytes: Buffer, from: number): number {
    const start = this.#place === At.start ? skipEmptyLines(bytes, from) : from;
    if (start === bytes.length) return NEED_MORE;
    const keptBytes = this.bytes;
    // Offsets are within the line: kept bytes come before `bytes`.
    if (this.#place === At.start) this.#place = At.method;
    const end = this.#scan(bytes, start, keptBytes - start);
    if (end === MALFORMED) return MALFORMED;
    this.bytes = keptBytes + (end === NEED_MORE ? bytes.length : end) - start;
    if (end === NEED_MORE) {
      const part = bytes.subarray(start);
      this.#kept = this.#kept === undefined ? inOwnMemory(part) : Buffer.concat([this.#kept, part]);
      return NEED_MORE;
    }
    return this.#take(bytes, start, end) ? end : MALFORMED;
  }

  #scan(bytes: Buffer, from: number, shift: number): number {
    let place: Place = this.#place;
    for (let i = from; i < bytes.length; i += 1) {
      const byte = bytes[i] as number;
      switch (place) {
        case At.start:
        case At.method:
          if (((byteClass[byte] as number) & TOKEN) !== 0 && i + shift <= maxMethodLength) break;
          if (byte !== SP) return this.#malformed("invalid method", i + shift);
          this.#methodEnd = i + shift;
          this.#place = place = At.target;
          break;
        case At.target:
          while (i < bytes.length && (bytes[i] as number) > SP && bytes[i] !== DEL) i += 1;
          if (i === bytes.length) break;
          // Exactly one space (RFC 9112 section 3).
          if (bytes[i] !== SP || i + shift === this.#methodEnd + 1)
            return this.#malformed("invalid character in the target", i + shift);
          this.#targetEnd = i + shift;
          this.#place = place = At.version;
          break;
        case At.version:
          if (!this.#versionByte(byte, i + shift - this.#targetEnd - 1))
            return this.#malformed("invalid HTTP version", i + shift);
          if (byte === CR) place = At.lineEnd;
          break;
        case At.lineEnd:
          return byte === LF ? i + 1 : this.#malformed("bare CR", i + shift);
      }
    }
    this.#place = place;
    return NEED_MORE;
  }

  /** @param at offset in the version */
  #versionByte(byte: number, at: number): boolean {
    if (at < versionPrefix.length) return byte === versionPrefix[at];
    if (at === versionBytes) return byte === CR;
    return at === 6 ? byte === 46 : byte >= 48 && byte <= 57;
  }

  /** @returns whether the method and the version are known */
  #take(bytes: Buffer, from: number, end: number): boolean {
    const kept = this.#kept;
    const whole = kept === undefined ? bytes : Buffer.concat([kept, bytes.subarray(from, end)]);
    const start = kept === undefined ? from : 0;
    const text = whole.toString("latin1", start, start + this.#targetEnd + 1 + versionBytes);
    const method = oneOf(methods, text.slice(0, this.#methodEnd));
    const httpVersion = oneOf(versions, text.slice(this.#targetEnd + 6));
    this.target = text.slice(this.#methodEnd + 1, this.#targetEnd);
    this.#kept = undefined;
    if (method === undefined) this.#malformed("invalid method", 0);
    else if (httpVersion === undefined) this.#malformed("invalid HTTP version", this.bytes);
    else {
      this.method = method;
      this.httpVersion = httpVersion;
      return true;
    }
    return false;
  }

  #malformed(problem: string, at: number): typeof MALFORMED {
    this.problem = problem;
    this.bytes = at;
    return MALFORMED;
  }
}

/** Skips empty lines: old clients send one after a body (RFC 9112 section 2.2). */
export function skipEmptyLines(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && (bytes[at] === CR || bytes[at] === LF)) at += 1;
  return at;
}

/** @returns the listed text that equals `text`: the same string for each request, so later comparisons are by address */
function oneOf(listed: readonly string[], text: string): string | undefined {
  for (const one of listed) if (one === text) return one;
  return undefined;
}
