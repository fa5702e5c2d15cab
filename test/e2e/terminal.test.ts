// Commands on a real terminal, 40 columns wide, and on a pipe: a terminal gets colours and text that fits, a pipe
// neither.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { mainFile, outrigger } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-terminal-"));
const policyFile = join(folder, "policy.json");
let redis: RedisServer;
const columns = 40;

interface Shown {
  /** All that came to the terminal so far. */
  text(): string;
  type(keys: string): void;
  readonly code: Promise<number>;
}

/** Runs a line of shell on a terminal. */
function onTerminal(line: string, env: Record<string, string> = {}): Shown {
  const child = spawn("script", ["-qec", `stty cols ${columns} rows 24; ${line}`, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { PATH: process.env["PATH"], TERM: "xterm", SHELL: "/bin/sh", REDIS_URL: redis.url, ...env },
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString().replaceAll("\r\n", "\n")));
  return {
    text: () => text,
    type: (keys) => void child.stdin.write(keys),
    code: once(child, "close").then(([code]) => code as number),
  };
}
const outriggerLine = (args: string): string => `'${process.execPath}' '${mainFile}' ${args}`;
const piped = async (...args: string[]): Promise<string> =>
  (await outrigger(args, { REDIS_URL: redis.url })).stdout;

async function beat(instance: string, receipt: Readonly<Record<string, unknown>>): Promise<void> {
  const [seconds] = await redis.cli.time();
  const now = Number(seconds) * 1_000;
  await redis.cli.zadd("outrigger:fleet:seen", now, "orders");
  await redis.cli.zadd("outrigger:live:orders", now, instance);
  const value = JSON.stringify({ version: "0.1.0", upSeconds: 90, ...receipt });
  await redis.cli.set(`outrigger:fleet:orders:${instance}`, value, "PX", 60_000);
}

before(async () => {
  redis = await startRedis();
  const policy = { apiVersion: "outrigger/v1", plugins: ["logging", "transform"] };
  writeFileSync(policyFile, JSON.stringify(policy));
  const reason = "because of a reason that is longer than the terminal is wide";
  await piped("policy", "apply", policyFile, "--reason", reason);
  writeFileSync(
    policyFile,
    JSON.stringify({ ...policy, plugins: ["logging", "cors"], routes: [{ path: "/a" }] }),
  );
  const problems = ["routes[0].upstream: \u001B[31m10.0.0.1 is not allowed"];
  const bypass = { state: "open", detail: "the service listens at 0.0.0.0:1, too" };
  await beat("o1", { lastError: { count: 1, first: problems[0], problems }, bypass });
});
after(async () => {
  await redis.close();
  rmSync(folder, { recursive: true });
});

const escape = "\u001B";
const commands = ["fleet", `policy diff ${policyFile}`, "policy history", "plugins list"];

describe("on a terminal of 40 columns", () => {
  test("tables are a line for each cell, nothing lost, and only what changes is coloured", async () => {
    const shown = onTerminal(commands.map(outriggerLine).join(" && echo === && "));
    assert.equal(await shown.code, 0);
    const [fleet = "", diff = "", history = "", plugins = ""] = shown.text().split("===\n");
    assert.match(fleet, /^SERVICE +orders\nINSTANCE +o1\n/);
    assert.match(
      fleet,
      /^ERROR +routes\[0\]\.upstream: \?\[31m10\.0\.0\.1 is not allowed; the service listens at 0\.0\.0\.0:1, too\n/m,
    );
    assert.match(diff, new RegExp(`^${escape}\\[\\d+m[+~-] .*${escape}\\[0m$`, "m"));
    assert.equal(diff.split(`${escape}[0m\n`).length, diff.split("\n").length, "each line ends its colour");
    assert.match(history, /^REVISION +1\nAT +20\S+Z\n/);
    assert.match(history, /^REASON +because of a reason that is longer than the terminal is wide\n/m);
    for (const line of plugins.trimEnd().split("\n")) assert.ok(line.length <= columns, line);
    for (const text of [fleet, history, plugins]) assert.ok(!text.includes(escape), text);
  });

  test("NO_COLOR and a dumb terminal are heeded, an empty NO_COLOR is none", async () => {
    const diff = outriggerLine(`policy diff ${policyFile}`);
    const shown = onTerminal(`NO_COLOR=1 ${diff} && TERM=dumb ${diff} && echo === && NO_COLOR= ${diff}`);
    assert.equal(await shown.code, 0);
    const [plain = "", coloured = ""] = shown.text().split("===\n");
    assert.ok(!plain.includes(escape), plain);
    assert.ok(coloured.includes(`${escape}[3`), coloured);
  });

  test("fleet --watch draws again and again, and Ctrl-C ends it with nothing left switched on", async () => {
    const shown = onTerminal(`exec ${outriggerLine("fleet --watch")}`);
    const clear = `${escape}[H${escape}[2J`;
    await eventually("it is drawn", () => shown.text().includes("o1"));
    await beat("o2", {});
    await eventually("it is drawn again", () => shown.text().includes("o2"));
    assert.ok(shown.text().split(clear).length > 2);
    shown.type("\u0003");
    assert.equal(await shown.code, 0);
    // Neither a hidden cursor nor another screen nor a colour: what is not switched on needs no way back.
    assert.deepEqual(
      shown
        .text()
        .replaceAll(clear, "")
        .match(new RegExp(`${escape}.`, "g")),
      null,
    );
    await redis.cli.del("outrigger:fleet:orders:o2");
  });
});

test("on a pipe there are columns, however wide, and no colour", async () => {
  const [fleet = "", diff = "", history = "", plugins = ""] = await Promise.all(
    commands.map((line) => piped(...line.split(" "))),
  );
  assert.match(
    fleet,
    /^SERVICE +INSTANCE +REGION +REVISION +AGE +VERSION +UP +ERROR\norders +o1 .* is not allowed; [^\n]+\n/,
  );
  assert.match(diff, /^[+~-] /);
  assert.match(history, /^1 +20\S+Z +apply .* longer than the terminal is wide\n/m);
  assert.match(plugins, /^PLUGIN +VERSION +PRIORITY +SECURITY\n/);
  for (const text of [fleet, diff, history, plugins]) assert.ok(!text.includes(escape), text);
});
