// Checks the body of a request: its media type, its coding, and the content where that is JSON or a multipart form.
import { type Exchange, GatewayError, type Verdict } from "../../src/plugin-api/contract.ts";
import { readJson } from "./json-body.ts";
import { isJson, type MediaType, rangeOf, readMediaType } from "./media-type.ts";
import { multipartFlaw } from "./multipart.ts";
import type { ValidateOptions } from "./options.ts";
import { refusal, unsupported } from "./refusal.ts";
import type { Check } from "./schemas.ts";

/** Accepted bodies: each range of media types with the check of JSON in it; undefined = any JSON. */
export type Bodies = ReadonlyMap<string, Check | undefined>;

const noType = unsupported("The media type of the body is missing, or can be read in several ways.");
const otherCharset = unsupported("JSON is UTF-8 here (RFC 8259 section 8.1).");
// RFC 9110 section 15.5.16: Accept-Encoding tells the client that it may send the body again without a coding.
const encoded = unsupported("A body is taken as it is, without a Content-Encoding.", [
  "Accept-Encoding",
  "identity",
]);

/** @returns a promise only where the body must be read */
export function checkBody(
  exchange: Exchange,
  bodies: Bodies,
  options: ValidateOptions,
): Verdict | Promise<Verdict> {
  const { fields } = exchange.request;
  const type = readMediaType(fields.get("content-type") ?? "");
  if (type === undefined) return noType;
  const ranges = [...bodies.keys()];
  const range = rangeOf(ranges, type.essence);
  if (range === undefined)
    return unsupported(`Bodies are ${ranges.join(", ")} here.`, ["Accept", ranges.join(", ")]);
  const json = isJson(type.essence);
  if (!json && type.essence !== "multipart/form-data") return undefined;
  if (json && !/^(?:utf-8)?$/i.test(type.parameters.get("charset") ?? "")) return otherCharset;
  if (!/^(?:identity)?$/i.test(fields.get("content-encoding") ?? "")) return encoded;
  const check = bodies.get(range);
  return exchange
    .readBody(options.maxBodyBytes)
    .then((body) => (json ? checkJson(body, check, options) : checkParts(body, type, options)), tooLarge);
}

function tooLarge(error: unknown): Verdict {
  if (error instanceof GatewayError) return { action: "reject", error };
  throw error;
}

function checkJson(body: Buffer, check: Check | undefined, { maxDepth }: ValidateOptions): Verdict {
  const read = readJson(body, maxDepth);
  if (!("value" in read)) return refusal("malformed_request", "body", read);
  const flaw = check?.(read.value);
  return flaw && refusal("invalid_content", "body", flaw);
}

function checkParts(body: Buffer, { parameters }: MediaType, { multipart }: ValidateOptions): Verdict {
  const message = multipartFlaw(body, parameters.get("boundary"), multipart);
  return message === undefined ? undefined : refusal("malformed_request", "body", { pointer: "", message });
}
