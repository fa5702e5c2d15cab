// A plugin process that uses more CPU than it may.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startSidecar } from "outrigger/plugin/testing";
import { createProcessPlugin } from "../../../../src/runtime/process/plugin.ts";
import { bundleExtension } from "../../../support/extensions.ts";
import { bundledPluginProcess } from "../../../support/plugin-process.ts";
import { eventually } from "../../../support/redis.ts";

const program = await bundledPluginProcess();

test("a process that takes more of a processor than it may is ended after ten seconds of it, and another one serves", async () => {
  const code = `const me = String(Math.random()); setInterval(() => { for (const end = performance.now() + 10; performance.now() < end; ); }, 20);
    module.exports.plugin = require("outrigger/plugin").definePlugin({
      setup: () => ({ onRequest: () => ({ action: "respond", status: 200, body: me }) }) });`;
  const entry = { runtime: "process", limits: { cpuShare: 0.01, timeMs: 5_000 } } as const;
  await using sidecar = await startSidecar({
    plugins: [createProcessPlugin(bundleExtension({ code, entry }), program)],
    policy: { plugins: ["geo"] },
    upstream: (_request, response) => response.end(),
  });
  const ask = async (): Promise<string> => (await fetch(sidecar.url)).text();
  const first = await ask();
  assert.match(first, /^0\.\d+/);
  const { reason } = await sidecar.line(({ reason: why }) => /of a processor/.test(String(why)));
  assert.match(String(reason), /^it takes \d\.\d\d of a processor, and may take 0\.01$/);
  await eventually("another one answers", async () => {
    const other = await ask();
    return /^0\.\d+/.test(other) && other !== first;
  });
});
