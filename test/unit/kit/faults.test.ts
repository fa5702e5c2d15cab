// Faults injected into plugins with a known reaction: one that fails closed, one that answers itself, and one that
// leaks.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../../../src/kit/finding.ts";
import { chainFaults, faultFindings } from "../../../src/kit/process/faults.ts";
import { makePlugin } from "../../../src/runtime/extension-runtimes.ts";
import { bundleExtension, pluginCode } from "../../support/extensions.ts";

const example = { options: {}, request: { method: "GET", path: "/", headers: {} } };

async function findingsOf(
  members: string,
  facts: { failMode?: "open" | "closed"; security?: boolean } = {},
  make: typeof faultFindings | typeof chainFaults = chainFaults,
): Promise<Finding[]> {
  const manifest = { priority: 30, failMode: "closed", security: false, ...facts } as const;
  const extension = bundleExtension({ code: pluginCode(members, facts), manifest });
  const definition = await makePlugin(extension);
  const findings: Finding[] = [];
  const loaded = { folder: "/", extension, definition, env: {}, secrets: {} };
  for await (const finding of make(loaded, example)) findings.push(finding);
  return findings;
}
const texts = (findings: readonly Finding[], state: Finding["state"]): string[] =>
  findings.filter((each) => each.state === state).map(({ what, detail }) => `${what}: ${detail}`);

test("one that fails closed refuses, and lets nobody wait", async () => {
  const found = await findingsOf("setup: () => ({ onRequest() {}, onResponse() {} })");
  assert.deepEqual(texts(found, "fail"), []);
  const hooks = texts(found, "ok").filter((text) => /throws|hangs/.test(text));
  assert.deepEqual(
    hooks,
    ["onRequest throws", "onRequest hangs", "onResponse throws", "onResponse hangs"].map(
      (what) => `${what}: 503 (fails closed), then 200 again`,
    ),
  );
});

test("one that answers by itself needs neither service nor store", async () => {
  const verdict = `{ action: "respond", status: 418, fields: [], body: "" }`;
  const found = await findingsOf(
    `setup: () => ({ onRequest: () => (${verdict}) })`,
    { failMode: "open" },
    faultFindings,
  );
  assert.deepEqual(texts(found, "fail"), []);
  const text = texts(found, "ok").join("\n");
  assert.match(text, /^onRequest throws: 200 \(fails open\), then 418 again$/m);
  assert.match(text, /^service down: 418, then 418$/m);
});

test("one whose close never ends is told of", async () => {
  const found = await findingsOf(
    "setup: () => ({ onResponse() {}, close: () => { throw new Error('no'); } })",
  );
  assert.match(texts(found, "fail").join(), /^everything is closed: (\d+) set up, 0 closed; .*must end$/);
});

test("one that fails where nothing is wrong is told of, though its fail mode hides it", async () => {
  const found = await findingsOf("setup: () => ({ async onRequest() { throw new Error('no'); } })", {
    failMode: "open",
  });
  assert.match(texts(found, "fail").join(), /^example: GET \/ is answered 200, and onRequest failed/);
});
