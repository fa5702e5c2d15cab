// Responses before their first byte is out, to call a plugin's `onResponse` on: the real class.
import { Fields } from "../plugin-api/fields.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import { LiveResponse } from "../runtime/response.ts";

/** As the service sent it. @param fields name, value, name, value … */
export function responseOf(status = 200, fields: readonly string[] = []): LiveResponse {
  return LiveResponse.fromUpstream(status, "", new Fields(fields));
}

/** The problem document that the sidecar makes of an error. */
export function errorResponseOf(error: GatewayError, requestId = "request-1"): LiveResponse {
  return LiveResponse.fromError(error, requestId);
}
