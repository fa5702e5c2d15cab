// Adjusts the head of a response to its content coding.
import type { ExchangeRequest, ExchangeResponse, Fields } from "../../src/plugin-api/contract.ts";
import type { Coding } from "./negotiation.ts";

/** Says that the answer depends on Accept-Encoding (RFC 9110 section 12.5.5). */
export function varyByCoding(fields: Fields): void {
  const vary = fields.get("vary");
  if (vary === undefined) fields.append("Vary", "Accept-Encoding");
  else if (!/(?:^|[,\s])(?:\*|accept-encoding)(?:$|[,\s])/i.test(vary))
    fields.set("Vary", `${vary}, Accept-Encoding`);
}

/**
 * The compressed bytes differ from the service's, so its strong tag does not hold for them (RFC 9110 section 8.8.1).
 */
function weaken(fields: Fields): void {
  const tag = fields.get("etag");
  if (tag !== undefined && !tag.startsWith("W/")) fields.set("ETag", `W/${tag}`);
}

export function describeCoding({ fields }: ExchangeResponse, coding: Coding): void {
  fields.set("Content-Encoding", coding);
  fields.delete("content-length");
  // Range requests would refer to the service's bytes.
  fields.delete("accept-ranges");
  weaken(fields);
}

/**
 * Adjusts a 304, whose fields update those that caches keep (RFC 9111 section 3.2). If it has Vary, Accept-Encoding
 * must be in it; without one, the stored Vary stays. Its tag must be the one that the client asked with (RFC 9110
 * section 15.4.5).
 */
export function describeUnchanged(request: ExchangeRequest, { fields }: ExchangeResponse): void {
  if (fields.has("vary")) varyByCoding(fields);
  const tag = fields.get("etag");
  if (tag !== undefined && request.fields.get("if-none-match")?.includes(`W/${tag}`) === true) weaken(fields);
}
