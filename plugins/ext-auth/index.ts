// The ext-auth plugin: asks an authorization service of the operator (over plain HTTP, or an Open Policy Agent) whether
// to let a request in.
import {
  definePlugin,
  type Exchange,
  fieldKey,
  GatewayError,
  type Hooks,
  QuotaExceeded,
  type RejectVerdict,
  type RequestField,
  type RouteInfo,
  type Services,
  textOf,
  type Verdict,
} from "../../src/plugin-api/contract.ts";
import type { Allowed, Answer, Refused } from "./answer.ts";
import { Endpoint } from "./endpoint.ts";
import { decisions } from "./metrics.ts";
import { type ExtAuthOptions, extAuthOptions } from "./options.ts";
import { headersOf } from "./question.ts";

const logEveryMs = 1_000;
/** Time that the hooks have beyond `timeoutMs`, so that the call ends first: its error says why. */
const marginMs = 1_000;

const reject = (error: GatewayError): RejectVerdict => ({ action: "reject", error });
const again = { fields: ["Retry-After", "1"] };

/** Made once, as creating an Error costs microseconds. */
function prepareRefusals({ challenge }: ExtAuthOptions): Readonly<Record<Refused["status"], RejectVerdict>> {
  const fields = ["WWW-Authenticate", challenge];
  return {
    401: reject(new GatewayError("authentication_required", "This resource needs a credential.", { fields })),
    403: reject(new GatewayError("forbidden", "The caller may not do this.")),
    404: reject(new GatewayError("route_not_found", "There is nothing here.")),
  };
}
const unavailable = reject(
  new GatewayError("dependency_unavailable", "Whether the caller may do this is not known now.", again),
);
const overloaded = reject(new GatewayError("overloaded", "Too many requests are being asked about.", again));

/** Logs that answers are missing, at most one line a second. */
function createTeller({ logger, clock }: Services, { pattern }: RouteInfo): (error: unknown) => void {
  let nextMono = 0;
  let untold = 0;
  return function tell(error) {
    untold += 1;
    if (clock.mono() < nextMono) return;
    nextMono = clock.mono() + logEveryMs;
    const requests = untold;
    logger.warn(
      { route: pattern, requests, because: textOf(error) },
      "no answer from ext-auth.url: requests are 503",
    );
    untold = 0;
  };
}

/** @returns the fields that answers may set. The options are not validated yet. */
function setFields(options: unknown): RequestField[] {
  const { fields } = Object(options) as { fields?: unknown };
  const names = Array.isArray(fields) ? fields.map(String) : [];
  return names.map((name, index) => ({ name, path: ["fields", index], tellsWho: true }));
}

function askedHeaders(options: unknown): string[] {
  const { input } = Object(options) as { input?: unknown };
  return headersOf(Array.isArray(input) ? input.filter((each) => typeof each === "string") : []);
}

/** @returns a function that applies an answer to a request that it lets in */
function compileAdmit({ fields, input }: ExtAuthOptions): (exchange: Exchange, answer: Allowed) => void {
  // The fields that are sent to the endpoint, and those it sets, can differ by caller. As credential fields they keep
  // caches from sharing answers across callers.
  const telling = [...headersOf(input), ...fields.map(fieldKey)];
  return function admit(exchange, answer) {
    for (let i = 0; i < answer.fields.length; i += 2)
      exchange.request.fields.set(answer.fields[i] as string, answer.fields[i + 1] as string);
    if (telling.length > 0) exchange.credentialFields = [...exchange.credentialFields, ...telling];
    if (answer.identity !== undefined) exchange.identity = answer.identity;
  };
}

/** A policy's tests have no endpoint to ask. The test itself says who sends its request. */
function testHooks({ identity: places }: ExtAuthOptions, { testRun }: Services): Hooks {
  return {
    onRequest(exchange) {
      if (places === undefined || testRun?.identity === undefined) return unavailable;
      exchange.identity = testRun.identity;
      return undefined;
    },
  };
}

function liveHooks(options: ExtAuthOptions, services: Services, route: RouteInfo): Hooks {
  const endpoint = new Endpoint(options, services);
  const refusals = prepareRefusals(options);
  const admit = compileAdmit(options);
  const tell = createTeller(services, route);
  const counter = decisions(services.metrics);
  const counters = {
    allowed: counter(route.pattern, "allowed"),
    refused: counter(route.pattern, "refused"),
    unavailable: counter(route.pattern, "unavailable"),
  };
  const decide = (exchange: Exchange, answer: Answer): Verdict => {
    counters[answer.kind].inc();
    if (answer.kind === "allowed") return admit(exchange, answer);
    exchange.refusedBecause = "refused by ext-auth.url";
    return refusals[answer.status];
  };
  const fail = (exchange: Exchange, error: unknown): Verdict => {
    counters.unavailable.inc();
    tell(error);
    exchange.refusedBecause = "no answer from ext-auth.url";
    return error instanceof QuotaExceeded ? overloaded : unavailable;
  };
  const timeLimitMs = options.timeoutMs + marginMs;
  return {
    timeLimitMs: { onRequest: timeLimitMs, recheck: timeLimitMs },
    onRequest(exchange) {
      const answer = endpoint.answer(exchange);
      if (!(answer instanceof Promise)) return decide(exchange, answer);
      return answer.then(
        (late) => decide(exchange, late),
        (error: unknown) => fail(exchange, error),
      );
    },
    async recheck(exchange) {
      try {
        const answer = await endpoint.answer(exchange);
        return answer.kind === "refused" ? refusals[answer.status] : undefined;
      } catch {
        return unavailable;
      }
    },
  };
}

export const extAuth = definePlugin({
  name: "ext-auth",
  version: "1.0.0",
  apiVersion: 1,
  // After auth, to tell the endpoint who calls; before plugins that use the identity, or what the endpoint answers.
  priority: 12,
  security: true,
  failMode: "closed",
  options: extAuthOptions,
  // The options say where the endpoint is.
  needs: { hosts: ["*"] },
  requestFields: setFields,
  secretNames: askedHeaders,
  // Limits that all services share count by the identity that this plugin sets.
  fleetOptions(options) {
    const { identity } = Object(options) as { identity?: unknown };
    return identity === undefined ? [] : [{ path: ["identity"], values: [identity] }];
  },
  lint: async () => (await import("./lint.ts")).lint,

  setup({ options, services, route }): Hooks {
    const hooks =
      services.testRun === undefined ? liveHooks(options, services, route) : testHooks(options, services);
    return {
      ...hooks,
      ownedRequestFields: options.fields.map(fieldKey),
      headOnlyFields: [...headersOf(options.input), ...options.fields],
    };
  },
});
