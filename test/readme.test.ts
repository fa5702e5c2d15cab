// Checks README.md and deploy/guides/policy.md against the code: their tables, the links of all pages, and their
// commands, which run exactly as they are printed.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { parse } from "yaml";
import { registry } from "../plugins/index.ts";
import { settingsTable } from "../src/app/environment.ts";
import { errorKinds } from "../src/plugin-api/errors.ts";
import { lintCodes } from "../src/plane/lint/lint.ts";
import { createPolicyReader } from "../src/policy/read.ts";
import { pluginsByName } from "../src/app/registry.ts";
import { outlineOptions } from "./support/options-table.ts";
import { mainFile, type Started, startNode } from "./support/process.ts";
import { eventually, freePort, type RedisServer, startRedis } from "./support/redis.ts";

const root = join(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
/** Commands and tables are on the one or the other. */
const pages = readme + readFileSync(join(root, "deploy/guides/policy.md"), "utf8");
const shell = promisify(execFile);

/** What a terminal has, without the settings of the test run, and where compiled modules are. */
const { PATH, HOME, NODE_COMPILE_CACHE } = process.env;
const env = { PATH, HOME, ...(NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE }) };

/** Rows of the table between two marks, or below a heading; the head and the rule under it left out. */
function tableIn(part: string): string[] {
  return part
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .slice(2);
}
const between = (mark: string): string =>
  pages.split(`<!-- ${mark}:begin -->`)[1]?.split(`<!-- ${mark}:end -->`)[0] ?? "";
const section = (title: string): string => readme.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "";

/** Lines of the block of commands under this mark, each with what its comment promises. */
function commandsOf(mark: string): { line: string; shows: string }[] {
  const block = new RegExp(`<!-- run: ${mark} -->\n\`\`\`sh\n([^]*?)\`\`\``).exec(pages)?.[1] ?? "";
  return block
    .trim()
    .split("\n")
    .map((text) => {
      const [line = "", shows = ""] = text.split(/ +# /);
      return { line, shows };
    });
}

/** Types the line into a shell. @returns the statuses of the answers that curl shows */
async function type(line: string): Promise<string> {
  const options = { cwd: root, timeout: 20_000, env };
  const { stdout } = await shell("sh", ["-c", line.replace(/^curl /, "curl -sS ")], options);
  return [...stdout.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status).join(", ");
}
const promised = (shows: string): string => /^\d+/.exec(shows)?.[0] ?? "";

describe("tables", () => {
  test("settings: every one, with its default and meaning, and no other", () => {
    const rows = settingsTable.map(({ env, default: fallback, doc }) => {
      const shown = fallback === null ? "unset" : fallback === "" ? "empty" : `\`${fallback}\``;
      return `| \`${env}\` | ${env === "OUTRIGGER_INSTANCE" ? "the host name" : shown} | ${doc.replaceAll("|", "\\|")} |`;
    });
    assert.deepEqual(tableIn(between("settings")), rows, `it should be:\n${rows.join("\n")}`);
  });

  test("errors: every code with its status and text, and no other", () => {
    const rows = Object.entries(errorKinds).map(
      ([code, { status, error, proxyStatus }]) =>
        `| \`${code}\` | ${status} | ${error} | \`${proxyStatus}\` |`,
    );
    assert.deepEqual(tableIn(between("errors")), rows, `it should be:\n${rows.join("\n")}`);
  });

  test("lint: every code with what it finds, and no other", async () => {
    const rows = [...(await lintCodes(pluginsByName))].map(([code, about]) => `| \`${code}\` | ${about} |`);
    assert.deepEqual(tableIn(between("lint")), rows, `it should be:\n${rows.join("\n")}`);
  });

  test("bounds: what a setting or an option bounds has its default there", () => {
    const defaults = new Map<string, string>();
    for (const { env, default: fallback } of settingsTable) defaults.set(env, fallback ?? "");
    for (const { name, options } of registry) {
      for (const row of outlineOptions(options).rows) {
        defaults.set(`${name}.${row.path}`, row.default.replaceAll("`", ""));
      }
    }
    const bounds = readFileSync(join(root, "deploy/guides/bounds.md"), "utf8");
    const rows = tableIn(bounds).map((row) => row.split(" | "));
    const named = rows.filter(([, , by = ""]) => by.startsWith("`"));
    assert.ok(named.length > 8);
    for (const [what = "", bound = "", by = ""] of named) {
      assert.equal(/^\d+/.exec(bound)?.[0], defaults.get(by.replace(/[`|\s]/g, "")), what);
    }
  });
});

/** What GitHub makes of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

test("every link leads to a file that exists, and to a heading in it", () => {
  const globs = ["*.md", ".github/*.md", "{deploy,plugins}/**/*.md"];
  for (const page of globs.flatMap((glob) => globSync(glob, { cwd: root }))) {
    const text = readFileSync(join(root, page), "utf8");
    for (const [, target = "", anchor] of text.matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)) {
      const path = target === "" ? page : join(dirname(page), target);
      assert.ok(existsSync(join(root, path)), `${page}: ${target}`);
      if (anchor === undefined) continue;
      const headings = [...readFileSync(join(root, path), "utf8").matchAll(/^#+ (.*)$/gm)];
      const anchors = headings.map(([, heading = ""]) => anchorOf(heading));
      assert.ok(anchors.includes(anchor), `${page}: ${target}#${anchor}`);
    }
  }
});

test("every page that code and configuration name is there", () => {
  let named = 0;
  for (const file of globSync("{src,plugins,deploy}/**/*.{ts,yaml,conf,service,socket,hcl,tf}", {
    cwd: root,
  })) {
    for (const [page] of readFileSync(join(root, file), "utf8").matchAll(
      /\b(?:deploy|plugins)\/[\w/-]+\.md\b/g,
    )) {
      assert.ok(existsSync(join(root, page)), `${file}: ${page}`);
      named += 1;
    }
  }
  assert.ok(named > 5);
});

test("every script that it names is one of the package's", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object };
  for (const [, name = ""] of pages.matchAll(/npm run (?:--silent )?([\w-]+)/g))
    assert.ok(name in scripts, name);
});

test("the example of a policy is one", async () => {
  const text = /```yaml\n([^]*?)```/.exec(section("Policy"))?.[1] ?? "";
  assert.ok(parse(text));
  const read = await createPolicyReader({
    plugins: pluginsByName,
    service: undefined,
    upstreamAllow: [],
    keys: undefined,
  });
  const { routes } = await read({ shared: Buffer.from(text), layer: undefined, format: "any" });
  assert.equal(routes.length, 2);
});

test("the commands of the command line end well", async () => {
  for (const { line } of commandsOf("commands")) await type(line);
  assert.equal(commandsOf("commands").length, 5);
});

describe("five minutes", () => {
  let demo: Started | undefined;
  after(() => demo?.child.kill("SIGKILL"));

  test("with the demo", async () => {
    demo = startNode([join(root, "deploy/demo/run.ts")]);
    const text = await demo.said('"msg":"listening"');
    const urlOf = (name: string): string => new RegExp(`^${name} +(http://\\S+)$`, "m").exec(text)?.[1] ?? "";
    const commands = commandsOf("demo");
    assert.equal(commands.length, 6);
    for (const { line, shows } of commands) {
      const here = line
        .replace("http://127.0.0.1:8080", urlOf("sidecar"))
        .replace("http://127.0.0.1:9901", urlOf("admin"));
      assert.equal(await type(here), promised(shows), line);
    }
  });
});

describe("with Redis and a service", () => {
  let redis: RedisServer;
  let sidecarPort: number;
  const service = http.createServer((_request, response) => response.end("hello"));
  const parts: { kill(): void }[] = [];

  before(async () => {
    redis = await startRedis();
    service.listen(0, "127.0.0.1");
    await once(service, "listening");
    sidecarPort = await freePort();
    const adminPort = await freePort();
    const [command] = commandsOf("start");
    const line = command?.line
      .replace("127.0.0.1:3000", `127.0.0.1:${(service.address() as AddressInfo).port}`)
      .replace("redis://127.0.0.1:6379", redis.url);
    const own = `OUTRIGGER_LISTEN=127.0.0.1:${sidecarPort} OUTRIGGER_ADMIN=127.0.0.1:${adminPort}`;
    const child = spawn("sh", ["-c", `${own} ${line}`], {
      cwd: root,
      // A group of its own, so that npm's child ends with it.
      detached: true,
      stdio: "ignore",
      env,
    });
    parts.push({ kill: () => process.kill(-(child.pid ?? 0), "SIGKILL") });
    await eventually(
      "it listens",
      () =>
        fetch(`http://127.0.0.1:${adminPort}/livez`).then(
          ({ ok }) => ok,
          () => false,
        ),
      60_000,
    );
  });

  after(async () => {
    for (const part of parts) part.kill();
    service.closeAllConnections();
    service.close();
    await redis.close();
  });

  test("one key after the other", async () => {
    const commands = commandsOf("redis").filter(({ line }) => line !== "sleep 1");
    assert.equal(commands.length, 8);
    for (const { line, shows } of commands) {
      const here = line
        .replace("127.0.0.1:8080", `127.0.0.1:${sidecarPort}`)
        .replace(/^redis-cli/, `redis-cli -p ${redis.port}`);
      const wanted = promised(shows);
      // A second at most for people; here it is looked for until it is so.
      await eventually(`${line} shows ${wanted}`, async () => (await type(here).catch(() => "")) === wanted);
    }
  });

  const folder = mkdtempSync(join(tmpdir(), "outrigger-readme-"));
  after(() => rmSync(folder, { recursive: true }));
  const settings = (): string =>
    `REDIS_URL=${redis.url} OUTRIGGER_SERVICE=orders OUTRIGGER_LISTEN=127.0.0.1:${sidecarPort}`;
  /** What would go on until Ctrl-C comes to an end here; files are in a folder of the test's. */
  const bounded = (line: string): string =>
    line
      // What npm makes of it, without half a second of npm each; the commands above are typed with it.
      .replace("npm run --silent outrigger --", `node ${mainFile}`)
      .replace(/ --watch| -f\b/, "")
      .replace(/(?<= )(policy|next)(-keys)?\.(yaml|key|json|jws)/g, (name) => join(folder, name));

  test("policies by commands, and a plugin that is switched off", async () => {
    copyFileSync(join(root, "deploy/policies/starter.yaml"), join(folder, "policy.yaml"));
    const commands = [...commandsOf("plane"), ...commandsOf("switches")];
    assert.equal(commands.length, 12);
    // The doctor says no to a service that can be reached past its sidecar, as this one can.
    for (const { line } of commands)
      if (!line.endsWith("check")) await type(`${settings()} ${bounded(line)}`);
      else await type(`${settings()} ${bounded(line)} | grep -q Redis`);
  });

  test("signed policies", async () => {
    const commands = commandsOf("signing");
    assert.equal(commands.length, 6);
    for (const { line } of commands) {
      const keys = existsSync(join(folder, "policy-keys.json"))
        ? `OUTRIGGER_POLICY_KEYS="$(cat ${join(folder, "policy-keys.json")})"`
        : "";
      if (line.includes("policy rotate"))
        await type(bounded("npm run --silent outrigger -- policy keygen next.key > next.json"));
      // The sidecar of this test has no keys, and none to wait for.
      await type(`${settings()} ${keys} ${bounded(line).replace(" --wait", "")}`);
    }
  });
});
