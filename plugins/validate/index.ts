// The validate plugin: lets requests through that fit a JSON Schema or an OpenAPI document, and refuses all others.
import {
  definePlugin,
  type Exchange,
  type Hooks,
  type RouteInfo,
  type Services,
  type Verdict,
} from "../../src/plugin-api/contract.ts";
import { requestsTotal } from "./metrics.ts";
import { validateOptions } from "./options.ts";
import { Validators } from "./validators.ts";
import type { Validator } from "./validator.ts";

/** Long, because a slow client is stopped by the sidecar's own limits (`OUTRIGGER_MIN_BYTES_PER_SECOND`). */
const timeLimitMs = 300_000;

function onRequest(
  validator: Validator,
  { metrics }: Services,
  { pattern }: RouteInfo,
): NonNullable<Hooks["onRequest"]> {
  const counter = requestsTotal(metrics);
  const valid = counter(pattern, "valid");
  const invalid = counter(pattern, "invalid");
  const counted = (exchange: Exchange, verdict: Verdict): Verdict => {
    if (verdict?.action !== "reject") return valid.inc();
    invalid.inc();
    exchange.refusedBecause = `validate: ${verdict.error.detail}`;
    return verdict;
  };
  return (exchange) => {
    const verdict = validator.request(exchange);
    return verdict instanceof Promise
      ? verdict.then((late) => counted(exchange, late))
      : counted(exchange, verdict);
  };
}

export const validate = definePlugin({
  name: "validate",
  version: "1.0.0",
  apiVersion: 1,
  // After authentication and limits, because it reads bodies; before the cache, so that invalid requests fill no entry.
  priority: 18,
  security: false,
  refuses: true,
  failMode: "closed",
  options: validateOptions,

  init: () => new Validators(),

  async setup({ options, services, state, route }): Promise<Hooks> {
    const { validator, release } = await state.acquire(options);
    const hooks: Hooks = {
      timeLimitMs: { onRequest: timeLimitMs },
      headOnlyFields: ["content-type", "content-encoding", ...validator.headerNames],
      onRequest: onRequest(validator, services, route),
      close: release,
    };
    if (options.responses === "off") return hooks;
    const { createReport } = await import("./report.ts");
    return { ...hooks, onResponse: createReport(validator, options, services, route) };
  },
});
