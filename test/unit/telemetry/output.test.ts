// Log lines on their way to stdout: batching, the limit for a stalled reader, a reader that is gone, the flush at exit.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { createOutput } from "../../../src/telemetry/output.ts";

/** Runs a module's text in a process of its own, whose stdout is a pipe that nobody reads until the test does. */
function runChild(body: string, out: "pipe" | number = "pipe") {
  const source = `
    import { createOutput } from ${JSON.stringify(new URL("../../../src/telemetry/output.ts", import.meta.url).href)};
    let dropped = 0;
    let closed = "";
    const tell = (facts) => process.stderr.write(JSON.stringify({ dropped, closed, ...facts }) + "\\n");
    const make = (options) => createOutput({
      stream: process.stdout,
      onDrop: (lines) => { dropped += lines; },
      onClosed: (error) => { closed += error.code; },
      ...options,
    });
    ${body}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], {
    // A file in place of the pipe leaves no stream here; that test reads the file.
    stdio: ["pipe", out as "pipe", "pipe"],
  });
  return { child, stdout: child.stdout, stderr: text(child.stderr), exit: once(child, "exit") };
}

/** A stream that keeps what it is given and takes the next only when told to. */
function slowStream() {
  const chunks: string[] = [];
  const pending: (() => void)[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(String(chunk));
      pending.push(done);
    },
  });
  return { stream, chunks, release: () => pending.shift()?.() };
}

describe("the log output", () => {
  it("writes lines in order and in batches", async () => {
    const chunks: string[] = [];
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(String(chunk));
        setImmediate(done);
      },
    });
    const output = createOutput({ stream });
    // Of one byte a character, of several, and one that is longer than a block.
    const lines = Array.from(
      { length: 5000 },
      (_, i) => `{"line":${i},"text":"${i % 7 === 0 ? "…é😀" : ""}"}\n`,
    );
    lines[1000] = `${"é".repeat(100_000)}\n`;
    for (const line of lines) output.write(line);
    assert.equal(chunks.length, 0, "nothing is written while the caller runs");
    assert.equal(await output.flush(5000), true);
    assert.equal(chunks.join(""), lines.join(""));
    assert.ok(chunks.length < 10, `${chunks.length} batches`);
  });

  it("sends a lone line by itself after a moment", async () => {
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    createOutput({ stream: new Writable({ write: resolve }) }).write("one\n");
    assert.equal(String(await promise), "one\n");
  });

  it("leaves alone what a slow reader is still taking", async () => {
    const taken: string[] = [];
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        setTimeout(() => {
          taken.push(String(chunk));
          done();
        }, 5);
      },
    });
    const output = createOutput({ stream, delayMs: 1 });
    const lines = Array.from({ length: 6 }, (_, i) => `line ${i}\n`);
    for (const line of lines) {
      output.write(line);
      void output.flush(5000);
    }
    assert.equal(await output.flush(5000), true);
    assert.equal(taken.join(""), lines.join(""));
  });

  it("drops and counts what a slow reader leaves no room for, and never part of a line", async () => {
    const { stream, chunks, release } = slowStream();
    let dropped = 0;
    const output = createOutput({ stream, maxBufferedBytes: 100, onDrop: (lines) => (dropped += lines) });
    for (let i = 0; i < 30; i++) output.write(`line-${String(i).padStart(3, "0")}\n`);
    assert.equal(dropped, 19, "11 lines of 9 characters fit");
    assert.equal(await output.flush(1), false, "the reader has not taken them");
    assert.equal(chunks.join("").length, 99);
    release();
    assert.equal(await output.flush(1000), true);
    output.write("again\n");
    void output.flush(1000);
    assert.equal(chunks.at(-1), "again\n", "there is room again");
  });

  it("counts everything as dropped once the stream has failed, and says so once", async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error("gone")) });
    let dropped = 0;
    const closed: string[] = [];
    const output = createOutput({
      stream,
      onDrop: (lines) => (dropped += lines),
      onClosed: (error) => closed.push(error.message),
    });
    output.write("a\n");
    output.write("b\n");
    assert.equal(await output.flush(1000), false);
    output.write("c\n");
    assert.equal(await output.flush(1000), false);
    assert.deepEqual([dropped, closed], [3, ["gone"]]);
  });

  it(
    "behind a stalled pipe stays within its bound, keeps the process running and lets it exit",
    { timeout: 15_000 },
    async () => {
      const { child, stdout, stderr, exit } = runChild(`
      const output = make({ maxBufferedBytes: 300_000 });
      const line = "x".repeat(99) + "\\n";
      for (let i = 0; i < 20_000; i++) output.write(line);
      const before = process.memoryUsage().rss;
      const flushed = await output.flush(200);
      for (let i = 0; i < 500_000; i++) output.write(line);
      tell({ flushed, grown: process.memoryUsage().rss - before });
      process.exit(7);
    `);
      const [code] = (await exit) as [number];
      assert.equal(code, 7);
      const facts = JSON.parse(await stderr) as { flushed: boolean; dropped: number; grown: number };
      assert.equal(facts.flushed, false);
      assert.ok(facts.dropped > 510_000 && facts.dropped < 520_000, `${facts.dropped} dropped`);
      assert.ok(facts.grown < 32 * 1_048_576, `grew by ${facts.grown}`);
      assert.ok((await text(stdout)).startsWith("x"));
      child.stdin.end();
    },
  );

  it(
    "outlives a reader that leaves, without an exception and without spinning at exit",
    { timeout: 15_000 },
    async () => {
      const { child, stdout, stderr, exit } = runChild(`
      const output = make({});
      process.stdin.once("data", async () => {
        output.write("nobody reads this\\n");
        const flushed = await output.flush(2000);
        output.write("nor this\\n");
        tell({ flushed });
        process.exit(0);
      });
    `);
      stdout.destroy();
      child.stdin.write("go\n");
      const [code] = (await exit) as [number];
      assert.equal(code, 0);
      assert.deepEqual(JSON.parse(await stderr), { dropped: 2, closed: "EPIPE", flushed: false });
    },
  );

  it("loses nothing to a file", async () => {
    const directory = mkdtempSync(join(tmpdir(), "outrigger-output-"));
    const path = join(directory, "log");
    const fd = openSync(path, "w");
    const { exit } = runChild(
      `
      const output = make({});
      for (let i = 0; i < 50_000; i++) output.write("line " + i + "\\n");
      await output.flush(5000);
      process.exit(0);`,
      fd,
    );
    await exit;
    closeSync(fd);
    assert.equal(readFileSync(path, "utf8").split("\n").length, 50_001);
    rmSync(directory, { recursive: true });
  });
});
