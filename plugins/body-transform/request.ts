// Handles requests: changes the body, or refuses the request.
import {
  type Exchange,
  type ErrorCode,
  GatewayError,
  type Hooks,
  type RouteInfo,
  type Services,
  type Verdict,
} from "../../src/plugin-api/contract.ts";
import { changeBody } from "./change-body.ts";
import type { Place } from "./changes.ts";
import { CannotChange } from "./edit.ts";
import { isJson, isPlain } from "./media-type.ts";
import { type Counters, countersOf } from "./metrics.ts";
import type { BodyTransformOptions } from "./options.ts";

/** Digests of the original bytes (RFC 9530); they no longer hold after a change. */
export const digests = ["content-digest", "repr-digest", "digest", "content-md5"];

const reject = (code: ErrorCode, detail: string): Verdict => ({
  action: "reject",
  error: new GatewayError(code, detail),
});
const otherType = reject("unsupported_media_type", "Bodies are JSON in UTF-8, without a coding, here.");

type Failed = (exchange: Exchange, verdict: Verdict) => Verdict;

function createChange(
  changes: Place,
  counters: Counters,
  failed: Failed,
): (exchange: Exchange, body: Buffer) => Verdict {
  return function change(exchange, body) {
    if (body.length === 0) return undefined;
    let changed: Buffer | undefined;
    try {
      changed = changeBody(body, changes);
    } catch (error) {
      if (!(error instanceof CannotChange)) throw error;
      return failed(exchange, reject("invalid_content", `The body ${error.message}.`));
    }
    counters[changed === undefined ? "unchanged" : "changed"].inc();
    if (changed === undefined) return undefined;
    exchange.replaceBody(changed);
    for (const name of digests) exchange.request.fields.delete(name);
    return undefined;
  };
}

export function onRequest(
  changes: Place,
  { maxBodyBytes, onFailure }: BodyTransformOptions,
  { metrics }: Services,
  { pattern }: RouteInfo,
): NonNullable<Hooks["onRequest"]> {
  const counters = countersOf(metrics, pattern, "request");
  const failed: Failed = (exchange, verdict) => {
    counters[onFailure === "pass" ? "passed" : "refused"].inc();
    if (onFailure === "pass") return undefined;
    if (verdict?.action === "reject") exchange.refusedBecause = `body-transform: ${verdict.error.detail}`;
    return verdict;
  };
  const change = createChange(changes, counters, failed);
  return (exchange) => {
    const { fields, hasBody } = exchange.request;
    if (!hasBody) return undefined;
    if (!isJson(fields.get("content-type") ?? "") || !isPlain(fields.get("content-encoding")))
      return failed(exchange, otherType);
    return exchange.readBody(maxBodyBytes).then(
      (body) => change(exchange, body),
      (error: unknown) => {
        // The body has been consumed: whatever `onFailure` says, the request cannot go on.
        if (!(error instanceof GatewayError)) throw error;
        counters.refused.inc();
        return { action: "reject", error };
      },
    );
  };
}
