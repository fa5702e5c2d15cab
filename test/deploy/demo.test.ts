// `npm run demo`: every command that it prints does what it says, and one signal ends all of it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { type Started, startNode } from "../support/process.ts";

const file = join(import.meta.dirname, "../../deploy/demo/run.ts");
const shell = promisify(execFile);

/** What it does when its favourite port is somebody else's. */
const occupier = createServer();
let demo: Started;
let commands: { line: string; shows: string }[];
let port: string;

before(async () => {
  // Taken already on some machines, which is as good.
  await new Promise((resolve) => occupier.once("error", resolve).listen(8080, "127.0.0.1", () => resolve(0)));
  demo = startNode([file]);
  const text = await demo.said('"msg":"listening"');
  commands = [...text.matchAll(/^ {2}(curl .*?) +# (.*)$/gm)].map(([, line = "", shows = ""]) => ({
    line,
    shows,
  }));
  port = /^sidecar +http:\/\/127\.0\.0\.1:(\d+)$/m.exec(text)?.[1] ?? "";
});

after(() => {
  demo.child.kill("SIGKILL");
  occupier.close();
});

/** Statuses of the answers, and all that was printed. */
async function type(line: string): Promise<{ statuses: string; output: string }> {
  // Time limit of curl (28): how a stream is left.
  const { stdout } = await shell("sh", ["-c", `${line} -sS || [ $? = 28 ]`], { timeout: 10_000 });
  const statuses = [...stdout.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status).join(", ");
  return { statuses, output: stdout };
}

async function output(part: string): Promise<string> {
  const command = commands.find(({ line }) => line.includes(part));
  assert.ok(command, `no command with ${part}`);
  return (await type(command.line)).output;
}

test("a taken port is left alone and another one is printed", () => {
  assert.match(port, /^\d+$/);
  assert.notEqual(port, "8080");
});

test("every printed command does what its comment says", async () => {
  assert.equal(commands.length, 12);
  for (const { line, shows } of commands) {
    const { statuses } = await type(line);
    const promised = /^[\d, ]*/.exec(shows)?.[0] ?? "";
    assert.equal(statuses, promised, line);
  }
});

test("the service sees the caller that a key stands for, and none that a client claims to be", async () => {
  assert.match(await output("demo-key"), /"x-user-id": "alice"/);
  assert.doesNotMatch(await output("X-User-Id"), /x-user-id/i);
});

test("the catalogue comes from the cache, the events as they happen", async () => {
  await output("/catalog");
  assert.match(await output("/catalog"), /^X-Cache: HIT\r$/m);
  assert.match(await output("/events"), /data: 1\n\ndata: 2\n/);
});

test("one interrupt ends it with code 0", async () => {
  demo.child.kill("SIGINT");
  const { code, stderr } = await demo.end;
  assert.equal(stderr, "");
  assert.equal(code, 0);
});
