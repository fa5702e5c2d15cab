// `policy lint` as a user runs it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { mainFile, outrigger, startNode } from "../../support/process.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-lint-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, `apiVersion: outrigger/v1\n${text}`);
  return path;
}
const open = file("open.yaml", "plugins: [rate-limit]\nroutes:\n  - path: /a\n  - path: /b\n");

interface Told {
  readonly ok: boolean;
  readonly files: readonly {
    readonly valid: boolean;
    readonly problems: readonly unknown[];
    readonly findings: readonly {
      readonly code: string;
      readonly line?: number;
      readonly routes?: string[];
    }[];
  }[];
}

test("prints a line a finding with place, reason, advice and code, and exits 0; with --strict 1", async () => {
  const { code, stdout, stderr } = await outrigger(["policy", "lint", open]);
  assert.deepEqual([code, stderr], [0, ""]);
  const lines = stdout.trimEnd().split("\n");
  assert.match(
    lines[0] ?? "",
    /^\S+open\.yaml, line 2, column 1: warning: plugins: no route asks who calls: .+; run auth or ext-auth, or .+ \[unauthenticated-route\]$/,
  );
  assert.equal(lines.filter((line) => line.endsWith("[unlimited-route]")).length, 2);
  const strict = await outrigger(["policy", "lint", "--strict", open]);
  assert.deepEqual([strict.code, strict.stdout], [1, stdout]);
});

test("says that nothing is found, and of the policies that come along too", async () => {
  const policies = join(import.meta.dirname, "../../../deploy/policies");
  const files = readdirSync(policies).filter((name) => name.endsWith(".yaml"));
  assert.ok(files.length > 1);
  const { code, stdout } = await outrigger(
    ["policy", "lint", "--strict", ...files.map((name) => join(policies, name))],
    {
      OUTRIGGER_UPSTREAM_ALLOW: "orders-a.internal:8080,orders-b.internal:8080,carts.internal:8080",
    },
  );
  assert.equal(stdout, files.map((name) => `${join(policies, name)}: nothing found\n`).join(""));
  assert.equal(code, 0);
});

test("lists problems instead where a file is not valid, and exits 1", async () => {
  const bad = file("bad.yaml", "plugins: [nosuch]\n");
  const { code, stdout, stderr } = await outrigger(["policy", "lint", bad]);
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, /bad\.yaml, line 2, column \d+: plugins\[0\]: unknown plugin/);
});

test("--over is told of the layer alone", async () => {
  const layer = file("layer.yaml", "routes:\n  - path: /mine\n    plugins: [logging]\n");
  const shared = file(
    "shared.yaml",
    "plugins: [auth]\nroutes: [{ path: /* }, { path: /free, plugins: [logging] }]\n",
  );
  const { stdout } = await outrigger(["policy", "lint", layer, "--over", shared]);
  assert.match(stdout, /layer\.yaml, line 4, column 5: warning: routes\[0\]\.plugins: answers callers/);
  assert.doesNotMatch(stdout, /free/);
});

test("--json tells the same as data", async () => {
  const { code, stdout, stderr } = await outrigger(["policy", "lint", "--json", "--strict", open]);
  assert.deepEqual([code, stderr], [1, ""]);
  const { ok, files } = JSON.parse(stdout) as Told;
  assert.deepEqual([ok, files[0]?.valid], [false, true]);
  assert.deepEqual(
    files[0]?.findings.map(({ code: found, line, routes }) => [found, line, routes]),
    [
      ["unauthenticated-route", 2, undefined],
      ["unlimited-route", 4, ["/a"]],
      ["unlimited-route", 5, ["/b"]],
    ],
  );
});

test("--codes prints every code, those of plugins too; without either it is told what to name", async () => {
  const { code, stdout } = await outrigger(["policy", "lint", "--codes"]);
  assert.equal(code, 0);
  for (const name of ["unauthenticated-route", "auth/exclude-never-matches", "unused-allowance"])
    assert.match(stdout, new RegExp(`^${name} +\\S`, "m"));
  const none = await outrigger(["policy", "lint"]);
  assert.deepEqual([none.code, none.stdout, none.stderr], [2, "", "name a file, or --codes\n"]);
});

test("ends quietly when the reader of its output has left", async () => {
  const { child, end } = startNode([mainFile, "policy", "lint", open]);
  child.stdout.destroy();
  await once(child, "close");
  const { code, stderr } = await end;
  assert.deepEqual([code, stderr], [0, ""]);
});
