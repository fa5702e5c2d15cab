// The package's exports for plugin authors, under the names that the package gives them.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  claimPath,
  definePlugin,
  type Exchange,
  GatewayError,
  type PluginDefinition,
  z,
} from "outrigger/plugin";
import {
  errorResponseOf,
  exchangeOf,
  problemsOf,
  responseOf,
  setUpPlugin,
  startSidecar,
  TestClock,
} from "outrigger/plugin/testing";
import { GatewayError as Own } from "../../../src/plugin-api/errors.ts";

const gate = definePlugin({
  name: "gate",
  version: "1.0.0",
  apiVersion: 1,
  priority: 30,
  security: false,
  failMode: "closed",
  options: z.strictObject({
    claim: claimPath.default("org").describe("The claim that opens it."),
    word: z.string().nullable().default(null).describe("Name of a further secret that opens it."),
  }),
  secrets: {
    GATE_WORD: {
      about: "Word that always opens the gate",
      check: (text) => (text.length < 4 ? "must have 4 characters" : undefined),
    },
  },
  init: ({ metrics }) => ({ opened: metrics.counter("outrigger_gate_opened_total", "Opened gates")() }),
  setup({ options, services, state }) {
    const names = ["GATE_WORD", ...(options.word === null ? [] : [options.word])];
    const words = new Set(names.map((name) => services.secrets.get(name)));
    return {
      onRequest({ request }: Exchange) {
        if (!words.has(request.fields.get("x-word"))) {
          services.logger.info({ path: request.path }, "closed");
          return { action: "reject", error: new GatewayError("forbidden", "Say the word.") };
        }
        state.opened.inc();
        return undefined;
      },
      onResponse(_exchange, response) {
        response.fields.set("X-Gate", services.clock.now() > 0 ? String(response.status) : "never");
      },
    };
  },
});

test("the contract of the package is the sidecar's own", () => {
  assert.equal(GatewayError, Own);
});

test("a plugin on one route has its options, secrets, metrics, log and time", async () => {
  const clock = new TestClock();
  const options = { word: "SECRET_WORD" };
  await using plugin = await setUpPlugin(gate, { options, clock, secrets: { SECRET_WORD: "sesame" } });
  const { hooks } = plugin;
  assert.equal(await hooks.onRequest?.(exchangeOf({ fields: ["X-Word", "sesame"] })), undefined);
  const refused = await hooks.onRequest?.(exchangeOf({ path: "/in", fields: ["X-Word", "please"] }));
  assert.equal(refused?.action, "reject");
  assert.match(await plugin.metrics(), /^outrigger_gate_opened_total\{.*\} 1$/m);
  assert.match(await plugin.log(), /"path":"\/in","plugin":"gate","msg":"closed"|"plugin":"gate"/);
  for (const response of [responseOf(201), errorResponseOf(new GatewayError("forbidden", "No."))]) {
    await hooks.onResponse?.(exchangeOf(), response);
    assert.equal(response.fields.get("x-gate"), String(response.status));
  }
  await assert.rejects(setUpPlugin(gate, { options: { claim: "a..b" } }));
  const nosy: PluginDefinition = {
    ...gate,
    name: "nosy",
    init: ({ secrets }) => secrets.get("SESSION_KEYS"),
  };
  await assert.rejects(setUpPlugin(nosy), { name: "NotDeclared" });
});

test("a sidecar has the plugin beside the built-in ones, with the secrets that it brings", async () => {
  const options = {
    plugins: [gate],
    policy: { plugins: ["logging", "gate"] },
    upstream: (_request: unknown, response: { end(text: string): unknown }) => response.end("in"),
  };
  await using sidecar = await startSidecar({ ...options, env: { OUTRIGGER_GATE_WORD: "sesame" } });
  const ask = async (word: string): Promise<(string | number | null)[]> => {
    const { status, headers } = await fetch(sidecar.url, { headers: { "X-Word": word } });
    return [status, headers.get("x-gate"), headers.get("x-request-id") && "id"];
  };
  assert.deepEqual(await ask("sesame"), [200, "200", "id"]);
  assert.deepEqual(await ask("please"), [403, "403", "id"]);
  await assert.rejects(startSidecar({ ...options, env: { OUTRIGGER_GATE_WORD: "no" } }), {
    message: "OUTRIGGER_GATE_WORD: must have 4 characters",
  });
});

test("members in the wrong place, and those that nobody knows, are told", () => {
  const odd = { ...gate, ownedRequestFields: ["x-gate"], prioritty: 1 } as unknown as PluginDefinition;
  assert.deepEqual(problemsOf(odd), [
    "ownedRequestFields: belongs in what setup returns; in the definition it does nothing",
    "prioritty: a definition has no such member, did you mean priority?",
  ]);
});

test("the check of a plugin's form says what is wrong, and nothing of one that is right", () => {
  assert.deepEqual(problemsOf(gate), []);
  const wrong: PluginDefinition = {
    ...(gate as PluginDefinition),
    name: "Gate",
    version: "1",
    priority: 1.5,
    security: true,
    failMode: "open",
    secrets: { GATE_WORD: { about: "word", check: () => undefined } },
    options: z.object({ failMode: z.string(), claim: z.string().optional() }),
    setup: () => ({}),
  };
  assert.deepEqual(
    problemsOf(wrong).map((line) => line.split(":")[0]),
    [
      "name",
      "version",
      "priority",
      "failMode",
      "secrets.GATE_WORD",
      "options",
      "options",
      "options.failMode",
      "options.claim",
      "options.failMode",
    ],
  );
});
