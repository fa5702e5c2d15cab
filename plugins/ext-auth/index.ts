// The ext-auth plugin: asks a service of the operator's (any over HTTP, or an Open Policy Agent) who gets in.
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
/** Beyond the wait itself, which says why it ended. */
const marginMs = 1_000;

const reject = (error: GatewayError): RejectVerdict => ({ action: "reject", error });
const again = { fields: ["Retry-After", "1"] };

/** Made once: an Error costs microseconds to make. */
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

/** Tells of answers that are missing, one line a second at most. */
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

/** The fields that answers set, as options that are not checked yet have them. */
function setFields(options: unknown): RequestField[] {
  const { fields } = Object(options) as { fields?: unknown };
  const names = Array.isArray(fields) ? fields.map(String) : [];
  return names.map((name, index) => ({ name, path: ["fields", index], tellsWho: true }));
}

function askedHeaders(options: unknown): string[] {
  const { input } = Object(options) as { input?: unknown };
  return headersOf(Array.isArray(input) ? input.filter((each) => typeof each === "string") : []);
}

/** @returns what is done to a request that is let in */
function compileAdmit({ fields, input }: ExtAuthOptions): (exchange: Exchange, answer: Allowed) => void {
  // What it is asked about, and what it sets, tells callers apart: no cache shares answers across it.
  const telling = [...headersOf(input), ...fields.map(fieldKey)];
  return function admit(exchange, answer) {
    for (let i = 0; i < answer.fields.length; i += 2)
      exchange.request.fields.set(answer.fields[i] as string, answer.fields[i + 1] as string);
    if (telling.length > 0) exchange.credentialFields = [...exchange.credentialFields, ...telling];
    if (answer.identity !== undefined) exchange.identity = answer.identity;
  };
}

/** In a test of a policy there is nobody to ask: it says itself who its request is from. */
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
  // Behind auth, to tell the endpoint who calls; before whatever acts on that, or on what the endpoint says.
  priority: 12,
  security: true,
  failMode: "closed",
  options: extAuthOptions,
  // The endpoint is where the options say.
  needs: { hosts: ["*"] },
  requestFields: setFields,
  secretNames: askedHeaders,
  // Who calls is told to limits that all services share.
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
