// Builds refusals: a problem document whose `errors` give the place as a JSON Pointer and never the offending value.
import { type ErrorCode, GatewayError, type RejectVerdict } from "../../src/plugin-api/contract.ts";
import type { Flaw } from "./json-body.ts";

/** Where in the request a flaw is. */
export type Place = "body" | "path" | "query" | "header" | "cookie";

export function refusal(code: ErrorCode, place: Place, { pointer, message }: Flaw): RejectVerdict {
  const where = pointer === "" ? `The ${place}` : `In the ${place}, ${pointer}`;
  const members = { errors: [{ in: place, pointer, message }] };
  return { action: "reject", error: new GatewayError(code, `${where} ${message}.`, { members }) };
}

export const unsupported = (detail: string, fields: readonly string[] = []): RejectVerdict => ({
  action: "reject",
  error: new GatewayError("unsupported_media_type", detail, { fields }),
});
