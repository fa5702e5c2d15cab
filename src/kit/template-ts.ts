// Makes the files of a new plugin in TypeScript.
import { commonFiles, type Files, metricName, type Template } from "./template.ts";

const table = `| option | type | default | meaning |
| --- | --- | --- | --- |
| \`greeting\` | string | \`"hello"\` | What X-Greeting says. |
| \`refuse\` | list of string | \`[]\` | Methods that are answered 405. |`;

export function tsFiles(template: Template): Files {
  const { name } = template;
  return {
    ...commonFiles(template, {
      main: "index.ts",
      description: "Greets whoever asks.",
      manifest: {
        hooks: ["onRequest", "onResponse"],
        needs: { readFields: [], writeFields: ["x-greeting"] },
      },
      example: { options: { greeting: "good morning" }, request: { method: "GET", path: "/" } },
      runtime: "process",
      table,
    }),
    "index.ts": indexText(name),
    "index.test.ts": testText(name),
  };
}

const indexText = (name: string): string => `// The ${name} plugin: greets whoever asks.
import { definePlugin, type Hooks, z } from "outrigger/plugin";

export const plugin = definePlugin({
  name: "${name}",
  version: "0.1.0",
  apiVersion: 1,
  priority: 30,
  security: false,
  failMode: "open",
  options: z.strictObject({
    greeting: z.string().max(200).default("hello").describe("What X-Greeting says."),
    refuse: z.array(z.string()).default([]).describe("Methods that are answered 405."),
  }),

  // Once for each route and policy: what can be made here need not be made for each request.
  setup({ options, services, route }): Hooks {
    const refused = new Set(options.refuse);
    const total = services.metrics.counter("outrigger_${metricName(name)}_total", "Answers that greet", ["route"]);
    const greeted = total(route.pattern);
    return {
      onRequest({ request }) {
        if (!refused.has(request.method)) return undefined;
        return { action: "respond", status: 405, fields: ["Allow", "GET"], body: "" };
      },
      onResponse(_exchange, response) {
        response.fields.set("X-Greeting", options.greeting);
        greeted.inc();
      },
    };
  },
});
`;

const testText = (name: string): string => `import assert from "node:assert/strict";
import { test } from "node:test";
import { exchangeOf, problemsOf, responseOf, setUpPlugin, startSidecar } from "outrigger/plugin/testing";
import { plugin } from "./index.ts";

test("follows the rules for plugins", () => {
  assert.deepEqual(problemsOf(plugin), []);
});

test("says what the options say", async () => {
  await using up = await setUpPlugin(plugin, { options: { greeting: "good morning" } });
  const response = responseOf();
  await up.hooks.onResponse?.(exchangeOf(), response);
  assert.equal(response.fields.get("x-greeting"), "good morning");
});

test("greets through a sidecar, and refuses the methods that it should", async () => {
  await using sidecar = await startSidecar({
    plugins: [plugin],
    policy: { plugins: ["logging", plugin.name], pluginConfig: { [plugin.name]: { refuse: ["DELETE"] } } },
    upstream: (_request, response) => void response.end("service"),
  });
  const read = await fetch(sidecar.url);
  assert.deepEqual([read.status, await read.text()], [200, "service"]);
  assert.equal(read.headers.get("x-greeting"), "hello");
  const gone = await fetch(sidecar.url, { method: "DELETE" });
  assert.equal(gone.status, 405);
  assert.match(await sidecar.metrics(), /^outrigger_${metricName(name)}_total\\{.*\\} 2$/m);
});
`;
