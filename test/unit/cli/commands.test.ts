// The command line as a user sees it: exit codes, stdout and stderr.
import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { mainFile, outrigger, outriggerProcess, passedOn, startNode } from "../../support/process.ts";
import { startRedis } from "../../support/redis.ts";

const directory = mkdtempSync(join(tmpdir(), "outrigger-cli-"));
after(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const good = file("good.yaml", 'apiVersion: outrigger/v1\nplugins: [logging]\nroutes:\n  - path: "/a/*"\n');

describe("outrigger", () => {
  it("without arguments, and as run, lists every problem of a wrong environment on stderr and exits 2", async () => {
    const env = {
      OUTRIGGER_LISTEN: "nowhere",
      OUTRIGGER_LISTN: "x",
      LOG_LEVEL: "loud",
      OUTRIGGER_ADMIN_TOKEN: "hunter 2",
    };
    for (const args of [[], ["run"], ["config"], ["policy", "validate", good]]) {
      const { code, stdout, stderr } = await outriggerProcess(args, env);
      assert.equal(code, 2, args.join(" "));
      assert.equal(stdout, "");
      const lines = stderr.trimEnd().split("\n");
      assert.deepEqual(lines.map((line) => line.slice(0, line.indexOf(":"))).sort(), [
        "LOG_LEVEL",
        "OUTRIGGER_ADMIN_TOKEN",
        "OUTRIGGER_LISTEN",
        "OUTRIGGER_LISTN",
      ]);
      assert.doesNotMatch(stderr, /hunter/);
    }
  });

  it("names the nearest command for one that it does not know, and exits 2", async () => {
    for (const [args, hint] of [
      [["conifg"], "config"],
      [["polcy", "validate"], "policy"],
      [["policy", "valdate"], "validate"],
      [["config", "--jsn"], "--json"],
    ] as const) {
      const { code, stdout, stderr } = await outrigger(args);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.ok(stderr.includes(`Did you mean ${hint}?`), stderr);
    }
  });

  it("exits 2 for arguments that are missing or too many", async () => {
    for (const args of [["policy"], ["policy", "validate"], ["config", "extra"], ["run", "--port", "80"]]) {
      const { code, stdout, stderr } = await outrigger(args);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.notEqual(stderr, "");
    }
  });

  it("exits 2 where its environment lacks what it needs, whichever command, and says what in one line", async (t) => {
    const redis = await startRedis();
    t.after(() => redis.close());
    const key = join(directory, "policy.key");
    assert.equal((await outrigger(["policy", "keygen", key])).code, 0);
    const subject = ["--subject", "ada"];
    const lacking: readonly (readonly [string, readonly string[]])[] = [
      ["OUTRIGGER_AUDIT_KEY", ["audit", "search", good]],
      ["OUTRIGGER_AUDIT_KEY", ["audit", "search", good, ...subject]],
      ["OUTRIGGER_AUDIT_KEY", ["audit", "export", good, ...subject]],
      ["OUTRIGGER_AUDIT_KEY", ["audit", "forget", good, ...subject]],
      ["OUTRIGGER_AUDIT_KEY", ["audit", "verify", good]],
      ["OUTRIGGER_POLICY_KEYS", ["policy", "verify", good]],
      ["OUTRIGGER_POLICY_KEYS", ["policy", "rotate", "--key", key, "--revoke", "k".repeat(43)]],
      ["KUBERNETES_SERVICE_HOST", ["sync", "--once"]],
      ["KUBERNETES_SERVICE_HOST", ["injector", "cert"]],
      ["KUBERNETES_SERVICE_HOST", ["injector", "pods"]],
      ...[["policy", "history"], ["fleet"], ["logs"], ["plugins", "list"], ["plugin", "list"]].map(
        (args) => ["REDIS_URL", args] as const,
      ),
    ];
    for (const [variable, args] of lacking) {
      const env: Record<string, string> = variable === "REDIS_URL" ? {} : { REDIS_URL: redis.url };
      const { code, stdout, stderr } = await outrigger(args, env);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.match(stderr, new RegExp(`^[^\\n]*${variable}\\b[^\\n]*\\n$`), args.join(" "));
    }
  });

  it("prints help and version on stdout and exits 0", async () => {
    const help = await outrigger(["--help"]);
    assert.equal(help.code, 0);
    for (const command of ["run", "config", "policy"])
      assert.match(help.stdout, new RegExp(`^ +${command}`, "m"));
    const version = await outriggerProcess(["--version"]);
    assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

describe("outrigger config", () => {
  it("prints a table of every setting", async () => {
    const { code, stdout, stderr } = await outrigger(["config"], {
      OUTRIGGER_SERVICE: "users",
      REDIS_URL: "redis://:hunter2@127.0.0.1",
    });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^NAME +VALUE +DEFAULT +MEANING$/m);
    assert.match(stdout, /^OUTRIGGER_SERVICE +users +default +Name of the service/m);
    assert.match(stdout, /^OUTRIGGER_DRAIN_MS +10000 +10000 +Longest time/m);
    assert.match(stdout, /^REDIS_URL +\(set\) +\(unset\) /m);
    assert.doesNotMatch(stdout, /hunter2/);
  });

  it("prints JSON when asked", async () => {
    const { stdout } = await outrigger(["config", "--json"], { OUTRIGGER_SERVICE: "users" });
    const rows = JSON.parse(stdout) as Record<string, unknown>[];
    const row = rows.find(({ name }) => name === "OUTRIGGER_SERVICE");
    assert.deepEqual([row?.["value"], row?.["default"], row?.["set"]], ["users", "default", true]);
  });
});

describe("outrigger policy", () => {
  it("validate says which files are right and exits 0", async () => {
    const { code, stdout, stderr } = await outrigger(["policy", "validate", good]);
    assert.equal(code, 0);
    assert.doesNotMatch(stderr, /^(?!.*: warning: )./m);
    assert.match(
      stdout,
      /good\.yaml: valid, 1 route, document sha256 [0-9a-f]{64}, effective for all services [0-9a-f]{64}\n$/,
    );
  });

  it("validate warns of what is probably not meant, and calls the file valid; --strict does not", async () => {
    const idle = file(
      "idle.yaml",
      "apiVersion: outrigger/v1\nlocked: [auth]\npluginConfig: { auth: {} }\n" +
        "lint: { allow: [{ code: unlimited-route, reason: test }] }\n",
    );
    const { code, stdout, stderr } = await outrigger(["policy", "validate", idle]);
    assert.equal(code, 0);
    assert.match(stdout, /idle\.yaml: valid, 1 route/);
    const warnings = stderr.trimEnd().split("\n");
    assert.match(
      warnings[0] ?? "",
      /idle\.yaml: warning: no route asks who calls.*\[unauthenticated-route\]$/,
    );
    assert.match(
      warnings[1] ?? "",
      /idle\.yaml, line 2, column 10: warning: locked\[0\]: no route runs "auth"/,
    );
    assert.match(
      warnings[2] ?? "",
      /idle\.yaml, line 3, column \d+: warning: pluginConfig\.auth: no route runs "auth"/,
    );
    assert.equal(warnings.length, 3);
    assert.equal((await outrigger(["policy", "validate", "--strict", idle])).code, 1);
  });

  it("validate lists each problem of each file with its place and exits 1", async () => {
    const bad = file(
      "bad.yaml",
      "apiVersion: outrigger/v1\nplugins: [loging]\nroutes:\n  - path: /a/*\n    timeout: soon\n    upstream: http://10.0.0.7:80\n",
    );
    const { code, stdout, stderr } = await outrigger([
      "policy",
      "validate",
      good,
      bad,
      join(directory, "missing"),
    ]);
    assert.equal(code, 1);
    assert.match(stdout, /^[^\n]*good\.yaml: valid[^\n]*\n$/);
    const lines = stderr
      .trimEnd()
      .split("\n")
      .filter((line) => !line.includes(": warning: "));
    assert.equal(lines.length, 4, stderr);
    assert.match(
      stderr,
      /bad\.yaml, line 2, column \d+: plugins\[0\]: unknown plugin "loging", did you mean "logging"\?/,
    );
    assert.match(stderr, /bad\.yaml, line 5, column \d+: routes\[0\]\.timeout: /);
    assert.match(stderr, /bad\.yaml, line 6, column \d+: routes\[0\]\.upstream: .*OUTRIGGER_UPSTREAM_ALLOW/);
    assert.match(stderr, /missing: does not exist$/m);
  });

  it("validate takes the upstreams that this environment allows", async () => {
    const remote = file(
      "remote.json",
      '{"apiVersion":"outrigger/v1","routes":[{"path":"/*","upstream":"http://users:80"}]}',
    );
    assert.equal((await outrigger(["policy", "validate", remote])).code, 1);
    assert.equal(
      (await outrigger(["policy", "validate", remote], { OUTRIGGER_UPSTREAM_ALLOW: "users:80" })).code,
      0,
    );
  });

  it("validate --over finds what only shows over the shared policy", async () => {
    const shared = file("shared.yaml", "apiVersion: outrigger/v1\nplugins: [logging]\nlocked: [logging]\n");
    const layer = file(
      "layer.yaml",
      "apiVersion: outrigger/v1\npluginConfig:\n  logging: { level: debug }\n",
    );
    assert.equal((await outrigger(["policy", "validate", layer])).code, 0);
    const { code, stderr } = await outrigger(["policy", "validate", layer, "--over", shared]);
    assert.equal(code, 1);
    assert.match(stderr, /layer\.yaml, line .*: .*logging/);
  });

  it("validate --json tells the same as data", async () => {
    const bad = file("bad.json", '{"apiVersion":"outrigger/v1","colour":1}');
    const { code, stdout, stderr } = await outrigger(["policy", "validate", "--json", good, bad]);
    assert.deepEqual([code, stderr], [1, ""]);
    const { ok, files } = JSON.parse(stdout) as {
      ok: boolean;
      files: { ok: boolean; problems: { path: string }[] }[];
    };
    assert.deepEqual([ok, files.map((one) => one.ok)], [false, [true, false]]);
    assert.equal(files[1]?.problems[0]?.path, "colour");
  });

  it("schema prints the JSON Schema with every plugin's options", async () => {
    const { code, stdout } = await outrigger(["policy", "schema"]);
    assert.equal(code, 0);
    const schema = JSON.parse(stdout) as {
      properties: { pluginConfig: { properties: Record<string, unknown> } };
    };
    assert.ok("logging" in schema.properties.pluginConfig.properties);
  });

  it("does its work when the reader of its output has left, and ends with the exit code of that", async () => {
    const bad = file("bad.json", "{}");
    const start = (args: string[], env = {}) =>
      spawn(process.execPath, [mainFile, ...args], { env: { ...passedOn, ...env } });
    const validates = start(["policy", "validate", good, bad]);
    validates.stdout.destroy();
    let said = "";
    validates.stderr.on("data", (chunk) => (said += String(chunk)));
    assert.deepEqual(await once(validates, "close"), [1, null]);
    assert.match(said, /^[^\n]*bad\.json: [^\n]*apiVersion/m);
    const redis = await startRedis();
    try {
      // It warns before it writes.
      const applies = start(["policy", "apply", good, "--wait", "1s"], { REDIS_URL: redis.url });
      applies.stderr.destroy();
      applies.stdout.resume();
      assert.deepEqual(await once(applies, "close"), [0, null]);
      assert.notEqual(await redis.cli.get("outrigger:policy"), null);
    } finally {
      await redis.close();
    }
  });

  it("takes no revision for --base that is no number of the history", async () => {
    for (const base of ["-1", "", "1e3", "0x1", "1.5", "one"]) {
      const asked = await outrigger(["policy", "apply", good, `--base=${base}`], {
        REDIS_URL: "redis://127.0.0.1:1",
      });
      assert.deepEqual(
        [asked.code, asked.stderr],
        [2, "--base takes a revision, a number of policy history\n"],
        base,
      );
    }
  });

  it("says of a kill switch's service what is wrong with it", async () => {
    for (const service of ["", "two words"]) {
      const asked = await outrigger(["plugins", "disable", "cors", "--reason", "x", "--service", service]);
      assert.equal(asked.code, 2);
      assert.match(asked.stderr, /^--service takes the name of a service: /);
    }
  });

  it("exits with 1 when its output cannot be written", () => {
    const out = openSync("/dev/full", "w");
    const { status, stderr } = spawnSync(process.execPath, [mainFile, "policy", "schema"], {
      env: passedOn,
      stdio: ["ignore", out, "pipe"],
    });
    closeSync(out);
    assert.deepEqual([status, String(stderr)], [1, "stdout cannot be written: ENOSPC\n"]);
  });

  it("ends quietly when the reader of its output has left", async () => {
    const { child, end } = startNode([mainFile, "policy", "schema"]);
    child.stdout.destroy();
    await once(child, "close");
    const { code, stderr } = await end;
    assert.deepEqual([code, stderr], [0, ""]);
  });
});
