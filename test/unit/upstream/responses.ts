// Arbitrary valid responses for fast-check, each with what it means.
import * as fc from "fast-check";
import { allowedTrailers } from "../../../src/http1/trailers.ts";
import type { Reading } from "../../support/response-oracle.ts";

export interface Sample {
  readonly method: string;
  readonly bytes: Buffer;
  readonly meaning: Reading;
}

const tokenChars = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.!#$%&'*+^`|~".split("");
const valueChars = "abc XYZ\t09,;=\"'()/:@[]{}<>?\\\xe9\xff\x80".split("");

const fieldName = fc
  .string({ unit: fc.constantFrom(...tokenChars), minLength: 1, maxLength: 12 })
  .filter((name) => allowedTrailers([name, ""]).length > 0);
const fieldValue = fc
  .string({ unit: fc.constantFrom(...valueChars), maxLength: 20 })
  .map((text) => text.trim());
const fields = fc.array(fc.tuple(fieldName, fieldValue), { maxLength: 6 });
const blanks = fc.constantFrom("", " ", "\t", "  ");
const body = fc.string({
  unit: fc.constantFrom("a", "0", "\r", "\n", "H", ";", "\0", "\xff"),
  maxLength: 60,
});
const reason = fc.string({ unit: fc.constantFrom("O", "K", " ", "x", "\xe9"), maxLength: 8 });

function written(lines: readonly (readonly [string, string])[], blank: string): string {
  return lines.map(([name, value]) => `${name}:${blank}${value}${blank.replaceAll("\t", " ")}\r\n`).join("");
}

/** Cuts a text into chunks of random sizes, some with extensions, some sizes with zeros in front. */
function chunked(text: string, cuts: readonly number[], extension: string): string {
  let out = "";
  let rest = text;
  for (const cut of cuts) {
    const part = rest.slice(0, cut);
    rest = rest.slice(cut);
    if (part !== "") out += `${"0".repeat(cut % 3)}${part.length.toString(16)}${extension}\r\n${part}\r\n`;
  }
  if (rest !== "") out += `${rest.length.toString(16).toUpperCase()}\r\n${rest}\r\n`;
  return `${out}0${extension}\r\n`;
}

export const samples: fc.Arbitrary<Sample> = fc
  .record({
    method: fc.constantFrom("GET", "GET", "POST", "HEAD"),
    interims: fc.array(fc.tuple(fc.constantFrom(102, 103, 199), fields), { maxLength: 2 }),
    status: fc.constantFrom(200, 200, 201, 204, 206, 304, 404, 500, 599),
    reason,
    fields,
    blank: blanks,
    framing: fc.constantFrom("length", "chunked", "close", "old"),
    body,
    cuts: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 6 }),
    extension: fc.constantFrom("", ";a", ";a=b", ';a="b c"'),
    trailers: fields,
  })
  .map((parts) => {
    const { method, status, framing } = parts;
    const bodiless = method === "HEAD" || status === 204 || status === 304;
    const lines = [...parts.fields];
    if (framing === "length" && status !== 204) lines.push(["Content-Length", String(parts.body.length)]);
    if (framing === "chunked" && status !== 204) lines.push(["tRansfer-encoding", "Chunked"]);
    let text = parts.interims
      .map(([code, extra]) => `HTTP/1.1 ${code} Hint\r\n${written(extra, parts.blank)}\r\n`)
      .join("");
    text += `HTTP/1.${framing === "old" ? 0 : 1} ${status} ${parts.reason}\r\n${written(lines, parts.blank)}\r\n`;
    const withTrailers = framing === "chunked" && !bodiless;
    if (withTrailers) {
      text += `${chunked(parts.body, parts.cuts, parts.extension)}${written(parts.trailers, parts.blank)}\r\n`;
    } else if (!bodiless) text += parts.body;
    return {
      method,
      bytes: Buffer.from(text, "latin1"),
      meaning: {
        outcome: "complete",
        interims: parts.interims.map(([code, extra]) => ({ status: code, fields: extra.flat() })),
        status,
        statusText: parts.reason,
        fields: lines.flat(),
        body: bodiless ? "" : parts.body,
        trailers: withTrailers ? parts.trailers.flat() : [],
      },
    };
  });

/** Cuts bytes at those places (taken modulo the length). */
export function split(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  const pieces: Buffer[] = [];
  let from = 0;
  for (const place of [...sorted, bytes.length]) {
    if (place > from) pieces.push(bytes.subarray(from, place));
    from = place;
  }
  return pieces;
}

const interesting = Buffer.from('\r\n \t:;,0123456789abcdefHTPchunked\0\x7f\x80\xff-+"x');

/** Damage: each edit replaces, inserts, deletes or repeats a few bytes somewhere. */
export const edits = fc.array(
  fc.record({
    kind: fc.constantFrom("replace", "insert", "delete", "repeat"),
    at: fc.nat(),
    byte: fc.nat().map((n) => interesting[n % interesting.length] as number),
    length: fc.integer({ min: 1, max: 6 }),
  }),
  { minLength: 1, maxLength: 3 },
);

export function damaged(
  bytes: Buffer,
  damage: typeof edits extends fc.Arbitrary<infer T> ? T : never,
): Buffer {
  let out = bytes;
  for (const { kind, at, byte, length } of damage) {
    const place = at % (out.length + 1);
    const before = out.subarray(0, place);
    const after = out.subarray(place);
    const one = Buffer.from([byte]);
    if (kind === "replace") out = Buffer.concat([before, one, after.subarray(1)]);
    else if (kind === "insert") out = Buffer.concat([before, one, after]);
    else if (kind === "delete") out = Buffer.concat([before, after.subarray(length)]);
    else out = Buffer.concat([before, after.subarray(0, length), after]);
  }
  return out;
}
