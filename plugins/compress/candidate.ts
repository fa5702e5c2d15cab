// Decides which responses have a body that may be compressed, whoever asks.
import type { Exchange, ExchangeResponse, Fields } from "../../src/plugin-api/contract.ts";
import { compileTypes } from "./media-types.ts";
import type { CompressOptions } from "./options.ts";

export type Candidate =
  /** Never compressed. */
  | "no"
  /** Too short to be worth compressing. */
  | "small"
  | "yes";

/**
 * Digests and signatures cover the bytes as they are (RFC 9530 sections 2 and 3, RFC 9421). A service that sends one
 * wants it to hold at the client.
 */
const overBytes = ["content-digest", "repr-digest", "digest", "content-md5", "signature-input"];
const digestTrailer = /digest|content-md5|signature/i;

/** RFC 9111 sections 5.2.1.6 and 5.2.2.6. In a quoted string it is no directive, but it is obeyed all the same. */
const noTransform = /(?:^|[\s,])no-transform(?:$|[\s,;=])/i;

const forbids = (fields: Fields): boolean => noTransform.test(fields.get("cache-control") ?? "");

function isEncoded(fields: Fields): boolean {
  const coding = fields.get("content-encoding");
  return coding !== undefined && coding.trim().toLowerCase() !== "identity";
}

const hasContent = (status: number): boolean =>
  status >= 200 && status !== 204 && status !== 205 && status !== 206 && status !== 304;

export function compileCandidate({
  types,
  minBytes,
  unknownLength,
}: CompressOptions): (exchange: Exchange, response: ExchangeResponse) => Candidate {
  const isTaken = compileTypes(types);
  return function candidate({ request }, { status, fields }) {
    const type = fields.get("content-type");
    if (type === undefined || !hasContent(status) || !isTaken(type)) return "no";
    if (isEncoded(fields) || fields.has("content-range")) return "no";
    if (forbids(fields) || forbids(request.fields)) return "no";
    if (overBytes.some((name) => fields.has(name))) return "no";
    if (digestTrailer.test(fields.get("trailer") ?? "")) return "no";
    const length = fields.get("content-length");
    if (length === undefined) return unknownLength ? "yes" : "no";
    if (length === "0") return "no";
    return Number(length) < minBytes ? "small" : "yes";
  };
}
