// Encodes and decodes entries for Redis: magic with version, flags, lengths, checksum, facts as JSON, body. Others may
// have written what is read back, so every part is checked before any is used.
import { crc32, deflateRaw, inflateRaw } from "node:zlib";
import { promisify } from "node:util";
import { z } from "zod";
import { tokenCharacter } from "../../../src/language/field-name.ts";
import { pairsOf } from "../../../src/plugin-api/contract.ts";
import { bytesOf } from "./body-copy.ts";
import { type Entry, factsOf } from "./entry.ts";
import { StoredEntry } from "./stored-entry.ts";

const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

const checksumAt = 16;
/** "OCE" and the version of the format: every change of the format changes the last byte. */
const magic = Buffer.from("OCE2");
const headBytes = 20;
const flagDeflated = 1;
/** Smaller bodies are not compressed. A compressed body is used only if it saves more than an eighth. */
const smallestToDeflate = 1_024;

const token = new RegExp(`^${tokenCharacter}{1,256}$`);
// Against response splitting: a field value from Redis must not contain a line end or NUL.
// oxlint-disable-next-line no-control-regex -- control characters are exactly what is looked for
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;
const text = z.string().max(65_536);
const moment = z.number().finite();
const span = z.number().finite().min(0);

const flatFields = z
  .array(text)
  .max(1_024)
  .refine((flat) => flat.length % 2 === 0, "name without value")
  .refine((flat) => flat.every((part, i) => (i % 2 === 0 ? token : fieldValue).test(part)), "unsafe field");

const facts = z.strictObject({
  url: text,
  partition: text,
  status: z.number().int().min(200).max(599),
  fields: flatFields,
  dateMs: moment,
  bornAt: moment,
  requestedAt: moment,
  freshUntil: moment,
  staleWhileRevalidateMs: span,
  staleIfErrorMs: span,
  mayServeStale: z.boolean(),
  alwaysValidate: z.boolean(),
  immutable: z.boolean(),
  forAnyone: z.boolean(),
  implicit: z.boolean(),
  vary: z.array(z.string().regex(token)).max(64),
  varyValues: z.array(text).max(64),
  tags: z.array(z.string().max(128)).max(256),
});

const varyFacts = z.strictObject({ vary: z.array(z.string().regex(token)).min(1).max(64) });

/** The value of a Redis key: an entry, or the Vary names that lead to the keys of a URL's variants. */
export type StoredRecord = { readonly entry: StoredEntry } | { readonly vary: readonly string[] };

/** Thrown for bytes that are not a record of this version: truncated, foreign or hostile. */
export class BadRecord extends Error {
  override readonly name = "BadRecord";
}

export async function encodeEntry(entry: Entry): Promise<Buffer> {
  // The fields contain the validators. `forwardedDiff` may hold credentials, so it is not written.
  const { etag: _etag, lastModified: _modified, ...rest } = factsOf(entry);
  const body = bytesOf(entry.body);
  const packed = body.length >= smallestToDeflate ? await deflate(body) : body;
  const deflated = packed.length < body.length * 0.875;
  return frame(JSON.stringify(rest), deflated ? packed : body, deflated ? flagDeflated : 0);
}

/** Encodes the record that says by which request fields the variants of a URL differ. */
export function encodeVary(vary: readonly string[]): Buffer {
  return frame(JSON.stringify({ vary }), Buffer.alloc(0), 0);
}

/**
 * Rejects with BadRecord if the bytes are not a valid record.
 * @param maxBodyBytes inflating stops and the record is refused once the body exceeds this
 */
export async function decodeRecord(bytes: Buffer, maxBodyBytes: number): Promise<StoredRecord> {
  const { json, body, flags } = unframe(bytes);
  const vary = varyFacts.safeParse(json);
  if (vary.success) return vary.data;
  const parsed = facts.safeParse(json);
  if (!parsed.success) throw new BadRecord("facts");
  if (parsed.data.vary.length !== parsed.data.varyValues.length) throw new BadRecord("vary");
  const entryFacts = {
    ...parsed.data,
    etag: field(parsed.data.fields, "etag"),
    lastModified: field(parsed.data.fields, "last-modified"),
  };
  return { entry: new StoredEntry(entryFacts, await unpacked(body, flags, maxBodyBytes), undefined) };
}

function frame(json: string, body: Buffer, flags: number): Buffer {
  const facts = Buffer.from(json);
  const head = Buffer.alloc(headBytes);
  magic.copy(head);
  head.writeUInt32BE(flags, 4);
  head.writeUInt32BE(facts.length, 8);
  head.writeUInt32BE(body.length, 12);
  head.writeUInt32BE(checksum(head, facts, body), checksumAt);
  return Buffer.concat([head, facts, body]);
}

/** Computes the checksum of everything else, flags included: a lost flag would send the compressed body to clients. */
function checksum(head: Buffer, facts: Buffer, body: Buffer): number {
  return crc32(body, crc32(facts, crc32(head.subarray(0, checksumAt))));
}

function unframe(bytes: Buffer): { json: unknown; body: Buffer; flags: number } {
  if (bytes.length < headBytes || !bytes.subarray(0, 4).equals(magic)) throw new BadRecord("version");
  const flags = bytes.readUInt32BE(4);
  const bodyAt = headBytes + bytes.readUInt32BE(8);
  if (flags > flagDeflated || bytes.length !== bodyAt + bytes.readUInt32BE(12)) throw new BadRecord("length");
  const factsBytes = bytes.subarray(headBytes, bodyAt);
  const body = bytes.subarray(bodyAt);
  if (checksum(bytes, factsBytes, body) !== bytes.readUInt32BE(checksumAt)) throw new BadRecord("checksum");
  try {
    return { json: JSON.parse(factsBytes.toString()), body, flags };
  } catch {
    throw new BadRecord("facts");
  }
}

async function unpacked(body: Buffer, flags: number, maxBodyBytes: number): Promise<Buffer> {
  if (flags !== flagDeflated) {
    if (body.length > maxBodyBytes) throw new BadRecord("size");
    return body;
  }
  try {
    return await inflate(body, { maxOutputLength: Math.max(1, maxBodyBytes) });
  } catch {
    throw new BadRecord("body");
  }
}

function field(flat: readonly string[], lowerName: string): string | undefined {
  return pairsOf(flat).find(([name]) => name.toLowerCase() === lowerName)?.[1];
}
