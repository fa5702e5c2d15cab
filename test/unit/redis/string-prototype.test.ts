// Method look-ups on strings stay fast in V8 once the Redis client is loaded.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

const program = `
const isFast = new Function("return %HasFastProperties(String.prototype)");
await import("ioredis");
const after = isFast();
await import(process.argv[1]);
console.log(after, isFast());`;

test("methods of texts are found at once, though ioredis has a class that extends String", async () => {
  const connect = new URL("../../../src/redis/connect.ts", import.meta.url).href;
  const { stdout } = await run(process.execPath, [
    "--allow-natives-syntax",
    "--input-type=module",
    "-e",
    program,
    connect,
  ]);
  // The first word says whether this is still needed.
  assert.equal(stdout.trim(), "false true");
});
