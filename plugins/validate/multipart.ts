// Checks multipart forms (RFC 7578): the number and length of parts, and that every reader finds the same parts.
import { fieldNameSource } from "../../src/language/field-name.ts";
import type { ValidateOptions } from "./options.ts";

const fieldLine = new RegExp(`^(${fieldNameSource}):`);
const maxPartFieldBytes = 4_096;
const crlf = Buffer.from("\r\n");
const blankLine = Buffer.from("\r\n\r\n");

/** RFC 2046 section 5.1.1 */
const boundaryPattern = /^[\w'()+,./:=?-][\w'()+,./:=? -]{0,68}[\w'()+,./:=?-]$|^[\w'()+,./:=?-]$/;

/** @returns what is wrong; undefined = nothing */
export function multipartFlaw(
  body: Buffer,
  boundary: string | undefined,
  { maxParts, maxPartBytes }: ValidateOptions["multipart"],
): string | undefined {
  if (boundary === undefined || !boundaryPattern.test(boundary)) return "has no boundary in its Content-Type";
  const opening = Buffer.from(`--${boundary}\r\n`);
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  // RFC 2046 allows a preamble, but some readers take parts from it.
  if (!body.subarray(0, opening.length).equals(opening)) return "does not begin with its boundary";
  let at = opening.length;
  for (let parts = 1; ; parts += 1) {
    if (parts > maxParts) return `has more than ${maxParts} parts`;
    const end = body.indexOf(delimiter, at);
    if (end === -1) return "ends within a part";
    const flaw = partFlaw(body.subarray(at, end), maxPartBytes);
    if (flaw !== undefined) return flaw;
    at = end + delimiter.length;
    if (body.subarray(at, at + 2).equals(crlf)) {
      at += 2;
      continue;
    }
    const rest = body.toString("latin1", at);
    return rest === "--" || rest === "--\r\n" ? undefined : "goes on behind its end";
  }
}

function partFlaw(part: Buffer, maxPartBytes: number): string | undefined {
  const end = part.indexOf(blankLine);
  if (end === -1 || end > maxPartFieldBytes) return "has a part whose fields do not end";
  if (part.length - end - blankLine.length > maxPartBytes)
    return `has a part of more than ${maxPartBytes} bytes`;
  const lines = part.toString("latin1", 0, end).split("\r\n");
  const names = lines.map((line) => fieldLine.exec(line)?.[1]?.toLowerCase());
  if (names.includes(undefined) || new Set(names).size !== names.length)
    return "has a part with fields that can be read in several ways";
  const disposition = lines[names.indexOf("content-disposition")] ?? "";
  if (!/^[^:]*:\s*form-data\s*;(?:.*;)?\s*name=/i.test(disposition)) return "has a part without a name";
  return undefined;
}
