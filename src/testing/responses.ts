// Makes responses before their first byte is sent, for tests that call a plugin's `onResponse`. They are of the real
// class.
import { Fields } from "../plugin-api/fields.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import { LiveResponse } from "../runtime/response.ts";

/** A response from the service. @param fields name, value, name, value … */
export function responseOf(status = 200, fields: readonly string[] = []): LiveResponse {
  return LiveResponse.fromUpstream(status, "", new Fields(fields));
}

/** The problem document that the sidecar makes for an error. */
export function errorResponseOf(error: GatewayError, requestId = "request-1"): LiveResponse {
  return LiveResponse.fromError(error, requestId);
}
