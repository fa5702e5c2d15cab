// Limits on HTTP calls per second by a policy's plugins: as many as the policy or their manifest allows, and no more.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { digestOf } from "../../src/extensions/package.ts";
import { EndpointServer } from "../support/endpoint-server.ts";
import { bundleExtension, pluginCode } from "../support/extensions.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { scriptGuest } from "../support/wasm/guests.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-calls-"));
const called = new EndpointServer((_request, response) => void response.end("here"));
let sidecar: TestSidecar;

const code = (host: string): string =>
  pluginCode(`setup({ services: { http } }) {
    return {
      async onRequest() {
        const ask = () => http.request({ url: "http://${host}/", timeoutMs: 1_000, maxBodyBytes: 10 });
        const results = await Promise.allSettled([ask(), ask(), ask(), ask(), ask()]);
        const told = results.map(({ value, reason }) => value?.status ?? reason.message);
        return { action: "respond", status: 200, fields: [], body: JSON.stringify(told) };
      },
    };
  }`);

const script = `
request call called 1000 - :method=GET :authority=called.test :path=/
request return 1
call status
call arguments
call effective caller
call resume 0`;

/** Writes a package. @returns where it is, and its digest */
function written(file: string, bytes: Buffer): { source: string; sha256: string } {
  writeFileSync(join(folder, file), bytes);
  return { source: `file:${join(folder, file)}`, sha256: digestOf(bytes) };
}

before(async () => {
  await called.listen();
  const { host } = new URL(called.url);
  const manifest = { needs: { hosts: [host], httpCallsPerSecond: 100 } };
  const { bytes } = bundleExtension({ code: code(host), manifest }).package;
  const guest = { name: "guest", version: "1.0.0", needs: { httpCallsPerSecond: 1 } };
  sidecar = await startSidecar({
    policy: {
      extensions: {
        geo: { ...written("geo.cjs", bytes), runtime: "process", limits: { httpCallsPerSecond: 3 } },
        guest: {
          ...written("guest.wasm", await scriptGuest()),
          runtime: "wasm",
          priority: 31,
          manifest: guest,
          clusters: { called: called.url },
        },
      },
      plugins: [],
      routes: [
        { path: "/process", plugins: ["geo"] },
        { path: "/wasm", plugins: ["guest"], pluginConfig: { guest: { configuration: script } } },
      ],
    },
    upstream: (_request, response) => void response.end("ok"),
  });
});
after(async () => {
  await sidecar.stop();
  called.close();
  rmSync(folder, { recursive: true });
});

const refusals = (plugin: string): RegExp =>
  new RegExp(
    `^outrigger_plugin_quota_refusals_total\\{.*plugin="${plugin}",quota="http_calls"\\} [1-4]$`,
    "m",
  );

test("a plugin in a process is told of the call that is one too many, which nobody gets", async () => {
  const told = (await (await fetch(`${sidecar.url}/process`)).json()) as unknown[];
  const over = 'plugin "geo" is over its quota of 3 calls a second (http_calls)';
  assert.deepEqual(told, [200, 200, 200, over, over]);
  assert.equal(called.asked, 3);
  assert.match(await sidecar.metrics(), refusals("geo"));
});

test("a guest is told by no field and a status, and goes on", async () => {
  const answers = await Promise.all(Array.from({ length: 5 }, () => fetch(`${sidecar.url}/wasm`)));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  const said = async (text: string): Promise<unknown> =>
    await sidecar.line(({ msg }) => String(msg).includes(text));
  await said("call status -> 0 200");
  await said("call status -> 0 10\ncall arguments -> 0 0 0\n");
  assert.match(await sidecar.metrics(), refusals("guest"));
});
