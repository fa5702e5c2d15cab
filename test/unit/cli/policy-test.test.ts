// `policy test` as a user runs it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { outrigger } from "../../support/process.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-policy-test-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, `apiVersion: outrigger/v1\n${text}`);
  return path;
}
const shared = file(
  "shared.yaml",
  `plugins: [auth]
routes: [{ path: /a, services: [users] }, { path: /b, plugins: [] }]
tests:
  - { name: a is guarded, request: { path: /a }, expect: { status: 401 } }
  - { name: b is open, request: { path: /b }, expect: { status: 200, route: /b } }
`,
);
const wrong = file(
  "wrong.yaml",
  "plugins: []\ntests:\n  - { name: shut, request: { path: / }, expect: { status: 403 } }\n",
);

interface Told {
  readonly ok: boolean;
  readonly files: readonly {
    readonly ok: boolean;
    readonly problems: readonly { readonly path: string; readonly message: string }[];
    readonly tests: readonly {
      readonly name: string;
      readonly ok: boolean;
      readonly services: readonly string[];
      readonly failures: readonly string[];
    }[];
  }[];
}

test("says how many are passed, and exits 0; a line for each that is not, and 1", async () => {
  const good = await outrigger(["policy", "test", shared]);
  assert.deepEqual([good.code, good.stdout, good.stderr], [0, `${shared}: 2 of 2 tests passed\n`, ""]);
  const bad = await outrigger(["policy", "test", shared, wrong]);
  assert.deepEqual(
    [bad.code, bad.stderr],
    [1, `${wrong}, line 4, column 1: tests[0]: test "shut": the status is 200, not 403\n`],
  );
  assert.match(bad.stdout, /wrong\.yaml: 0 of 1 tests passed\n$/);
});

test("runs them for every service that the policy names, and for all others", async () => {
  const { code, stdout } = await outrigger(["policy", "test", shared, "--json"]);
  const { ok, files } = JSON.parse(stdout) as Told;
  assert.deepEqual([code, ok], [0, true]);
  assert.deepEqual(
    files[0]?.tests.map(({ name, services }) => [name, ...services]),
    [
      ["a is guarded", "users"],
      ["b is open", "users"],
      ["b is open", "default"],
    ],
  );
  const one = await outrigger(["policy", "test", shared, "--service", "orders", "--json"]);
  const tests = (JSON.parse(one.stdout) as Told).files[0]?.tests ?? [];
  assert.deepEqual(
    tests.map(({ name, services }) => [name, ...services]),
    [["b is open", "orders"]],
  );
});

test("of a layer, with those of the shared policy", async () => {
  const layer = file("layer.yaml", "routes: [{ path: /a, plugins: [] }]\n");
  const { code, stdout, stderr } = await outrigger([
    "policy",
    "test",
    layer,
    "--over",
    shared,
    "--service",
    "users",
  ]);
  assert.deepEqual([code, stdout], [1, `${layer}: 1 of 2 tests passed\n`]);
  assert.match(
    stderr,
    /shared\.yaml, line 5, column 1: tests\[0\]: test "a is guarded": the status is 200, not 401$/m,
  );
});

test("says what is wrong with a file, or that it has none", async () => {
  const bad = file("bad.yaml", "tests: [{ name: x, request: { path: a }, expect: {} }]\n");
  const none = file("none.yaml", "plugins: []\n");
  const { code, stdout, stderr } = await outrigger(["policy", "test", bad, none, join(folder, "gone.yaml")]);
  assert.deepEqual([code, stdout], [1, `${none}: no tests\n`]);
  assert.match(stderr, /bad\.yaml, line 2, column .*: tests\[0\]\.request\.path: must begin with \//);
  assert.match(stderr, /bad\.yaml.*: tests\[0\]\.expect: must say what is expected/);
  assert.match(stderr, /gone\.yaml.*: does not exist|gone\.yaml.*no such|gone\.yaml: /);
});

test("needs none of the secrets that sidecars have", async () => {
  const policy = file(
    "secrets.yaml",
    `plugins: [auth, transform]
pluginConfig:
  auth:
    apiKeys: { signed: require, requirePepper: true }
    assertion: { key: ASSERTION_KEY, audience: users }
    jwt:
      issuers: [{ issuer: https://id.example, discovery: true, audience: [api], algorithms: [RS256] }]
      login:
        issuer: https://id.example
        clientId: outrigger
        clientSecret: SECRET_IDP
        publicUrl: https://app.example
        sessions: redis
        backchannelLogoutPath: /backchannel
tests:
  - { name: somebody, request: { path: /, identity: { userId: u } }, expect: { status: 200, upstreamHeaders: { x-user-id: u } } }
  - { name: nobody, request: { path: /, headers: { accept: application/json } }, expect: { status: 401 } }
`,
  );
  const { code, stderr } = await outrigger(["policy", "test", policy]);
  assert.deepEqual([code, stderr], [0, ""]);
});
