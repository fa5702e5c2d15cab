// What a coding changes in the head of a response.
import type { ExchangeRequest, ExchangeResponse, Fields } from "../../src/plugin-api/contract.ts";
import type { Coding } from "./negotiation.ts";

/** Says that the answer depends on Accept-Encoding (RFC 9110 section 12.5.5). */
export function varyByCoding(fields: Fields): void {
  const vary = fields.get("vary");
  if (vary === undefined) fields.append("Vary", "Accept-Encoding");
  else if (!/(?:^|[,\s])(?:\*|accept-encoding)(?:$|[,\s])/i.test(vary))
    fields.set("Vary", `${vary}, Accept-Encoding`);
}

/** The bytes are others than the service's: its strong tag is not theirs (RFC 9110 section 8.8.1). */
function weaken(fields: Fields): void {
  const tag = fields.get("etag");
  if (tag !== undefined && !tag.startsWith("W/")) fields.set("ETag", `W/${tag}`);
}

export function describeCoding({ fields }: ExchangeResponse, coding: Coding): void {
  fields.set("Content-Encoding", coding);
  fields.delete("content-length");
  // Ranges would be of what the service has.
  fields.delete("accept-ranges");
  weaken(fields);
}

/**
 * A 304 brings what caches keep up to date (RFC 9111 section 3.2). Where it names fields to vary by, ours is one; where
 * it names none, those stay that are kept. Its tag is the one that the client has asked by (RFC 9110 section 15.4.5).
 */
export function describeUnchanged(request: ExchangeRequest, { fields }: ExchangeResponse): void {
  if (fields.has("vary")) varyByCoding(fields);
  const tag = fields.get("etag");
  if (tag !== undefined && request.fields.get("if-none-match")?.includes(`W/${tag}`) === true) weaken(fields);
}
