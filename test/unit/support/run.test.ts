// The test run itself: which files it finds, what makes it fail, what it prints.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Finished, startNode } from "../../support/process.ts";

const runFile = join(import.meta.dirname, "../../support/run.ts");
const folder = mkdtempSync(join(tmpdir(), "outrigger-run-"));
after(() => rmSync(folder, { recursive: true }));

const drive = join(folder, "drive.mjs");
writeFileSync(
  drive,
  `import { runFiles } from ${JSON.stringify(runFile)};
process.exitCode = (await runFiles(process.argv.slice(2), 2000)) ? 0 : 1;`,
);

/** Runs one test file with this content, as `npm test` runs its own. */
function runContent(name: string, content: string): Promise<Finished> {
  const file = join(folder, `${name}.test.mjs`);
  writeFileSync(file, `import { test } from "node:test";\nimport net from "node:net";\n${content}`);
  return startNode([drive, file]).end;
}

test("a run that passes prints node's counts and nothing else", async () => {
  const { code, stdout } = await runContent("good", 'test("is fine", () => {});');
  assert.equal(code, 0);
  assert.match(stdout, /^ℹ tests 1\n[^]*ℹ pass 1\nℹ fail 0\n/);
  assert.doesNotMatch(stdout, /is fine/);
});

test("a failing test is shown and fails the run", async () => {
  const { code, stdout } = await runContent(
    "bad",
    'test("is broken", () => { throw new Error("because"); });',
  );
  assert.equal(code, 1);
  assert.match(stdout, /✖ is broken/);
  assert.match(stdout, /Error: because/);
  assert.match(stdout, /ℹ fail 1\n/);
});

test("a rejection that nobody handles after its test fails the run", async () => {
  const late = 'test("ends early", () => { setTimeout(() => Promise.reject(new Error("late")), 20); });';
  const { code, stdout } = await runContent("late", late);
  assert.equal(code, 1);
  assert.match(stdout, /unhandledRejection/);
});

test("a file whose sockets stay open is ended and says what is open", async () => {
  const { code, stdout } = await runContent(
    "open",
    'test("forgets", () => { net.createServer().listen(0); });',
  );
  assert.equal(code, 1);
  assert.match(stdout, /not over after 2000 ms; open: .*TCPServerWrap/);
});

test("a word that no file's path holds ends the run", async () => {
  const { code, stderr } = await startNode([runFile, "no-such-test"]).end;
  assert.equal(code, 1);
  assert.equal(stderr, "no test file whose path holds no-such-test\n");
});

test("without the programs, and no apt to get them, one line says what to install", async () => {
  const { code, stdout, stderr } = await startNode([runFile, "unix-socket"], { PATH: folder }).end;
  assert.equal(code, 1);
  assert.equal(stdout, "");
  assert.match(
    stderr,
    /^the tests need redis-server or valkey-server, redis-cli, chromium .*apt-get install redis-server .*\n$/,
  );
});

test("as root they are installed with apt: one update, one install, nothing asked", async () => {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const log = join(bin, "log");
  const programs = [
    "redis-server",
    "redis-cli",
    "chromium",
    "openssl",
    "curl",
    "script",
    "clang",
    "wasm-ld",
    "promtool",
  ];
  // Brings programs that do nothing, as the tests run here need none of them.
  const brings = programs.map((name) => `/bin/cp /bin/true ${bin}/${name}`).join("; ");
  const script = `#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> ${log}\ncase "$*" in *install*) ${brings};; esac\n`;
  writeFileSync(join(bin, "apt-get"), script, { mode: 0o755 });
  const { code, stdout, stderr } = await startNode([runFile, "unit/files/unix-socket"], { PATH: bin }).end;
  if (process.getuid?.() !== 0) {
    assert.match(stderr, /^the tests need /);
    return;
  }
  assert.equal(code, 0, stderr);
  assert.match(
    stdout,
    // What may be lacking is named behind, as far as it is.
    /^installing redis-server, redis-tools, chromium, openssl, curl, bsdutils, clang, lld, prometheus(?:, [a-z0-9-]+)*\nℹ tests [1-9]/,
  );
  const calls = readFileSync(log, "utf8").trimEnd().split("\n");
  assert.equal(calls.length, 2);
  assert.match(calls[0] ?? "", /^noninteractive .* update$/);
  assert.match(
    calls[1] ?? "",
    /^noninteractive .* install -y --no-install-recommends redis-server .* prometheus( [a-z0-9-]+)*$/,
  );
});

test("a program that a variable names wrongly is not looked for elsewhere", async () => {
  const env = { OUTRIGGER_TEST_REDIS_SERVER: join(folder, "absent") };
  const { code, stderr } = await startNode([runFile, "unix-socket"], env).end;
  assert.equal(code, 1);
  assert.match(stderr, /^the tests need redis-server or valkey-server: .*OUTRIGGER_TEST_REDIS_SERVER\n$/);
});
