// The cors plugin on single exchanges (Fetch standard, "CORS protocol").
import assert from "node:assert/strict";
import { test } from "node:test";
import { cors } from "../../../plugins/cors/index.ts";
import { GatewayError, type Hooks, type SetupInput } from "../../../src/plugin-api/contract.ts";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { LiveResponse } from "../../../src/runtime/response.ts";
import { exchangeOf, flat } from "../../support/exchange.ts";

const app = "https://app.example.com";

async function hooksOf(options: object): Promise<Hooks> {
  // The plugin uses no service.
  const input = { options: cors.options.parse(options), services: {}, state: undefined } as SetupInput<
    ReturnType<typeof cors.options.parse>,
    unknown
  >;
  return cors.setup(input);
}

async function preflight(options: object, fields: readonly string[], method = "OPTIONS"): Promise<unknown> {
  return (await hooksOf(options)).onRequest?.(exchangeOf({ method, fields }));
}

async function answer(options: object, request: readonly string[], response: LiveResponse): Promise<Fields> {
  const hooks = await hooksOf(options);
  const exchange = exchangeOf({ fields: request });
  assert.equal(await hooks.onRequest?.(exchange), undefined);
  await hooks.onResponse?.(exchange, response);
  return response.fields;
}

const fromService = (...lines: string[]): LiveResponse =>
  LiveResponse.fromUpstream(200, "OK", new Fields(flat(...lines)));

test("a preflight of an allowed origin is answered with what the policy allows", async () => {
  const verdict = await preflight(
    {
      origins: [app],
      methods: ["GET", "PUT"],
      headers: ["X-A", "X-B"],
      credentials: true,
      maxAgeSeconds: 60,
    },
    flat(`Origin: ${app}`, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-a"),
  );
  assert.deepEqual(verdict, {
    action: "respond",
    status: 204,
    fields: flat(
      `Access-Control-Allow-Origin: ${app}`,
      "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
      "Access-Control-Allow-Credentials: true",
      "Access-Control-Allow-Methods: GET, PUT",
      "Access-Control-Allow-Headers: X-A, X-B",
      "Access-Control-Max-Age: 60",
    ),
  });
});

test("a preflight of another origin is answered too, without a single CORS field", async () => {
  const verdict = await preflight(
    { origins: [app] },
    flat("Origin: https://evil.example", "Access-Control-Request-Method: GET"),
  );
  assert.deepEqual(verdict, {
    action: "respond",
    status: 204,
    fields: ["Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"],
  });
});

test("OPTIONS without Access-Control-Request-Method or Origin is no preflight, nor is another method", async () => {
  const asked = ["Access-Control-Request-Method", "GET"];
  assert.equal(await preflight({ origins: [app] }, ["Origin", app]), undefined);
  assert.equal(await preflight({ origins: [app] }, asked), undefined);
  assert.equal(await preflight({ origins: [app] }, ["Origin", app, ...asked], "GET"), undefined);
});

test("a private network is opened only where the policy says so and the browser asks", async () => {
  const asked = ["Origin", app, "Access-Control-Request-Method", "GET"];
  for (const network of ["Private-Network", "Local-Network"]) {
    const request = [...asked, `Access-Control-Request-${network}`, "true"];
    const granted = `Access-Control-Allow-${network}`;
    assert.match(
      JSON.stringify(await preflight({ origins: [app], privateNetwork: true }, request)),
      RegExp(granted),
    );
    assert.doesNotMatch(
      JSON.stringify(await preflight({ origins: [app] }, request)),
      /Allow-(Private|Local)/,
    );
    assert.doesNotMatch(
      JSON.stringify(await preflight({ origins: [app], privateNetwork: true }, asked)),
      /Allow-(Private|Local)/,
    );
  }
});

test("an allowed origin is named in the answer, and the service's own CORS fields are gone", async () => {
  const fields = await answer(
    { origins: [app], exposeHeaders: ["X-Total"], credentials: true },
    ["Origin", app],
    fromService(
      "access-control-allow-origin: *",
      "Access-Control-Expose-Headers: X-Internal",
      "Access-Control-Allow-Private-Network: true",
      "Vary: Accept-Encoding",
    ),
  );
  assert.deepEqual(
    fields.toFlat(),
    flat(
      "Vary: Accept-Encoding, Origin",
      `Access-Control-Allow-Origin: ${app}`,
      "Access-Control-Allow-Credentials: true",
      "Access-Control-Expose-Headers: X-Total",
    ),
  );
});

test("another origin, and none, get no CORS field, but the answer varies on Origin", async () => {
  for (const request of [["Origin", "https://evil.example"], ["Origin", app, "Origin", app], []]) {
    const fields = await answer({ origins: [app] }, request, fromService("Access-Control-Allow-Origin: *"));
    assert.deepEqual(fields.toFlat(), ["Vary", "Origin"]);
  }
});

test("* is the same for everybody: no Vary, and no origin named", async () => {
  for (const request of [["Origin", app], []]) {
    const fields = await answer({ origins: ["*"], exposeHeaders: [] }, request, fromService());
    assert.deepEqual(fields.toFlat(), ["Access-Control-Allow-Origin", "*"]);
  }
});

test("an error of the sidecar carries the fields, so that the page can read it", async () => {
  const error = new GatewayError("authentication_required", "Who are you?");
  const fields = await answer({ origins: [app] }, ["Origin", app], LiveResponse.fromError(error, "r-1"));
  assert.equal(fields.get("access-control-allow-origin"), app);
});

test("an error before the request phase carries them as well", async () => {
  const hooks = await hooksOf({ origins: [app] });
  const response = LiveResponse.fromError(new GatewayError("method_not_allowed", "No."), "r-1");
  await hooks.onResponse?.(exchangeOf({ fields: ["Origin", app] }), response);
  assert.equal(response.fields.get("access-control-allow-origin"), app);
});

test("the answer names the origin that the client sent, even when a later plugin took the field out", async () => {
  const hooks = await hooksOf({ origins: [app] });
  const exchange = exchangeOf({ fields: ["Origin", app] });
  await hooks.onRequest?.(exchange);
  exchange.request.fields.delete("origin");
  const response = fromService();
  await hooks.onResponse?.(exchange, response);
  assert.equal(response.fields.get("access-control-allow-origin"), app);
});
