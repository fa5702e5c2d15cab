// Computes what the policy and the manifest allow a filter on all routes.
import type { Extension } from "../../extensions/entry.ts";
import type { FailMode } from "../../plugin-api/contract.ts";
import { FieldRules } from "./field-rules.ts";
import type { GuestLog } from "./guest-log.ts";

/** Which of the callbacks that the module exports are called. */
export interface FilterHooks {
  readonly response: boolean;
  readonly requestBody: boolean;
  readonly responseBody: boolean;
  readonly responseTrailers: boolean;
}

export interface FilterPolicy {
  readonly name: string;
  readonly failMode: FailMode;
  readonly fields: FieldRules;
  readonly hooks: FilterHooks;
  /** Limit in bytes of a body that the filter sees, or may hold back. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly log: GuestLog;
}

/** @param exports names of the functions that the module exports */
export function filterPolicy(
  { name, entry, package: { manifest } }: Extension,
  exports: ReadonlySet<string>,
  log: GuestLog,
): FilterPolicy {
  const { needs } = manifest;
  const requestBytes = entry.limits.requestBytes ?? needs.body.requestBytes ?? 0;
  const responseBytes = entry.limits.responseBytes ?? needs.body.responseBytes ?? 0;
  return {
    name,
    failMode: manifest.security ? "closed" : (entry.failMode ?? manifest.failMode),
    fields: new FieldRules(needs),
    hooks: {
      response: exports.has("proxy_on_response_headers"),
      requestBody: requestBytes > 0 && exports.has("proxy_on_request_body"),
      responseBody: responseBytes > 0 && exports.has("proxy_on_response_body"),
      responseTrailers: exports.has("proxy_on_response_trailers"),
    },
    requestBytes,
    responseBytes,
    log,
  };
}
