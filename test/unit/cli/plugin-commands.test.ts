// Commands that plugins provide: the arguments they take, the services they get, and that a serving sidecar does not
// load them.
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Command } from "commander";
import { z } from "zod";
import { addPluginCommands } from "../../../src/cli/plugin-commands.ts";
import type { Terminal } from "../../../src/cli/terminal.ts";
import { type CommandContext, defineCommand, definePlugin } from "../../../src/plugin-api/contract.ts";
import { startNode } from "../../support/process.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.close());

type Work = (context: CommandContext, given: Readonly<Record<string, unknown>>) => Promise<number>;

/** Types `gate open …`. @returns the exit code, stdout and stderr */
async function typed(args: readonly string[], work: Work, env: Terminal["env"] = {}) {
  const open = defineCommand({
    name: "open",
    about: "open the gate",
    options: {
      who: { positional: true, about: "who comes" },
      atTime: { value: "time", about: "when", default: "now" },
      bring: { value: "thing", about: "what they bring; repeatable", repeatable: true },
      wide: { about: "for a cart" },
      note: { value: "text", about: "for the book" },
    },
    run: work,
  });
  const gate = definePlugin({
    name: "gate",
    version: "1.0.0",
    apiVersion: 1,
    priority: 60,
    security: false,
    failMode: "open",
    options: z.strictObject({}),
    needs: { keys: ["gate:<service>:"], secrets: ["SECRET_GATE"] },
    commands: async () => [{ name: "gate", about: "work on the gate", commands: [open] }],
    setup: () => ({}),
  });
  let [out, err] = ["", ""];
  const terminal: Terminal = { env, out: (text) => (out += text), err: (text) => (err += text) };
  const program = new Command("outrigger").exitOverride();
  let run: (() => Promise<number>) | undefined;
  await addPluginCommands(program, terminal, (chosen) => (run = chosen), [gate]);
  program.parse(["gate", "open", ...args], { from: "user" });
  const code = await run?.();
  return { code, out, err };
}

test("a command is given what its options name, each as it was declared", async () => {
  const all: Record<string, unknown>[] = [];
  const keep: Work = async (context, given) => {
    all.push({ ...given, json: context.json });
    return 0;
  };
  await typed([], keep);
  await typed(
    ["ada", "--wide", "--bring", "a", "--bring", "b", "--at-time", "9", "--note", "x", "--json"],
    keep,
  );
  assert.deepEqual(all, [
    { who: undefined, atTime: "now", bring: [], wide: false, note: undefined, json: false },
    { who: "ada", atTime: "9", bring: ["a", "b"], wide: true, note: "x", json: true },
  ]);
});

test("its context prints, and knows service and declared secrets alone", async () => {
  const env = {
    OUTRIGGER_SERVICE: "shop",
    OUTRIGGER_SECRET_GATE: "sesame",
    OUTRIGGER_API_KEY_PEPPER: "pepper-0123456789",
  };
  const { code, out, err } = await typed(
    [],
    async (context) => {
      context.table(["A", "B"], [["1\u001b[2J", "2"]]);
      context.err(`${context.service} ${context.secret("SECRET_GATE")}\n`);
      assert.throws(
        () => context.secret("API_KEY_PEPPER"),
        /plugin "gate" declares no secret API_KEY_PEPPER/,
      );
      return 1;
    },
    env,
  );
  assert.deepEqual([code, out, err], [1, "A      B\n1?[2J  2\n", "shop sesame\n"]);
});

test("the store that it opens has the plugin's own keys, of the service it works on, and no others", async () => {
  const env = { REDIS_URL: redis.url, OUTRIGGER_STORE_KEYS: Buffer.alloc(32, 7).toString("base64url") };
  const use = { because: "the gate's book is in Redis", service: "shop" };
  const { code, err } = await typed(
    [],
    (context) =>
      context.withStore(use, async ({ store, seals }) => {
        await store.set("gate:shop:book", "open");
        await assert.rejects(store.get("gate:default:book"), { name: "NotDeclared" });
        await assert.rejects(store.get("apikey:x"), { name: "NotDeclared" });
        assert.throws(() => seals?.of("jwks"), { name: "NotDeclared" });
        assert.ok(seals?.of("gate"));
        return 0;
      }),
    env,
  );
  assert.deepEqual([code, err], [0, ""]);
  assert.equal(await redis.cli.get("outrigger:gate:shop:book"), "open");
  const without = await typed([], (context) => context.withStore(use, async () => 0));
  assert.deepEqual(
    [without.code, without.err],
    [
      2,
      "REDIS_URL: is not set: the gate's book is in Redis; set it as sidecars have it, such as redis://127.0.0.1:6379\n",
    ],
  );
});

test("a sidecar that serves loads no command and nothing of the test kit", async () => {
  const root = join(import.meta.dirname, "../../../src");
  // A thread's program is none that a sidecar imports.
  const entries = globSync(["cli/run.ts", "app/*.ts", "workers/*.ts"], { cwd: root })
    .filter((path) => path !== "app/policy-thread.ts")
    .map((path) => join(root, path));
  const script = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
    for (const file of ${JSON.stringify(entries)}) await import(file);
    console.log(loaded.filter((url) => !url.includes("node_modules")).join("\\n"));`;
  const { code, stdout, stderr } = await startNode(["--input-type=module", "--eval", script]).end;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /plugins\/auth\/index\.ts/);
  const others = stdout
    .split("\n")
    .filter((url) => /\/(commands|key-ring|session-ring|commander|testing)/.test(url));
  assert.deepEqual(
    others.map((url) => url.replace(/.*\/(?=src|plugins)/, "")),
    ["src/plugin-api/commands.ts"],
  );
});
