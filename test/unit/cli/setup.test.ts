// Commands for setting things up: import, completion, and the manual page made from the same commands.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { manPage } from "../../../deploy/man.ts";
import { outrigger } from "../../support/process.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-setup-"));
after(() => rmSync(folder, { recursive: true }));

test("import prints a policy, and on stderr what could not be carried over", async () => {
  const file = join(folder, "kong.yaml");
  writeFileSync(
    file,
    "services:\n  - { name: a, url: http://127.0.0.1:3000, routes: [ { paths: [/a] } ] }\nvaults: []\n",
  );
  const { code, stdout, stderr } = await outrigger(["import", file]);
  assert.equal(code, 0);
  assert.match(stdout, /^# From .*kong\.yaml \(kong\)\. .*\n# OUTRIGGER_UPSTREAM_ALLOW=127\.0\.0\.1:3000\n/);
  writeFileSync(join(folder, "policy.yaml"), stdout);
  assert.equal((parse(stdout) as { routes: unknown[] }).routes.length, 1);
  assert.match(stderr, /^vaults: is not carried over$/m);
  const checked = await outrigger(["policy", "validate", join(folder, "policy.yaml")], {
    OUTRIGGER_UPSTREAM_ALLOW: "127.0.0.1:3000",
  });
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  const json = JSON.parse((await outrigger(["import", file, "--json"])).stdout) as {
    notes: string[];
    policy: object;
  };
  assert.ok(json.notes.length > 0 && "routes" in json.policy);
  assert.deepEqual(await outrigger(["import", join(folder, "none")]), {
    code: 1,
    signal: null,
    stdout: "",
    stderr: `${join(folder, "none")} cannot be read: ENOENT\n`,
  });
});

async function scriptOf(shell: string): Promise<string> {
  const { code, stdout, stderr } = await outrigger(["completion", shell]);
  assert.equal(code, 0, stderr);
  return stdout;
}

test("bash completes commands, commands of commands, and options", async () => {
  const script = await scriptOf("bash");
  const complete = (words: readonly string[]): string[] => {
    const line = `${script}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _outrigger; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["-c", line], { encoding: "utf8" }).trim().split("\n");
  };
  assert.deepEqual(complete(["outrigger", "pol"]), ["policy"]);
  assert.deepEqual(complete(["outrigger", "policy", "ver"]), ["verify"]);
  assert.ok(complete(["outrigger", "policy", "apply", "file.yaml", "--re"]).includes("--reason"));
  assert.ok(complete(["outrigger", "completion", ""]).length > 0);
});

test("zsh and fish take their scripts", async (t) => {
  assert.match(await scriptOf("zsh"), /^#compdef outrigger\n/);
  assert.match(
    await scriptOf("fish"),
    /^complete -c outrigger -n '__outrigger_at policy' -f -a 'apply' -d /m,
  );
  for (const shell of ["zsh", "fish"]) {
    const path = [`/usr/bin/${shell}`, `/bin/${shell}`].find((each) => existsSync(each));
    if (path === undefined) t.diagnostic(`${shell} is not here: its script is not read by it`);
    else execFileSync(path, ["-n", "/dev/stdin"], { input: await scriptOf(shell) });
  }
  assert.equal((await outrigger(["completion", "tcsh"])).code, 2);
});

test("the manual page has every command", async () => {
  const page = await manPage();
  for (const name of ["run", String.raw`policy apply`, "import", "completion"])
    assert.match(page, new RegExp(`^\\.SS ${name}\\b`, "m"));
  assert.doesNotMatch(page, /^[.'](?!TH|SH|SS|TP|B )/m);
});
