import assert from "node:assert/strict";
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
  assert.match(await sidecar.metrics(), /^outrigger_hello_total\{.*\} 2$/m);
});
