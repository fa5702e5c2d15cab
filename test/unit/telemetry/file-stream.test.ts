// A log on a disk that is full for a while: a limit on the file's size, which the test lifts, simulates the disk.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { FileStream } from "../../../src/telemetry/file-stream.ts";
import { eventually } from "../../support/redis.ts";

const limitBytes = 20_000;
const bufferBytes = 8 * 1_048_576;
const line = "x".repeat(999);

let children = 0;

interface Child {
  readonly path: string;
  /** Runs the words of the source below one by one. */
  tell(word: string): void;
  lift(): void;
  read(): string[];
  end(): Promise<string>;
}

const folder = mkdtempSync(join(tmpdir(), "outrigger-full-"));
after(() => rmSync(folder, { recursive: true }));

function startChild(): Child {
  const path = join(folder, `log-${(children += 1)}`);
  const fd = openSync(path, "a");
  const source = `
    import { createTelemetry } from ${JSON.stringify(new URL("../../../src/telemetry/process.ts", import.meta.url).href)};
    const { accessLog, output, metrics } = createTelemetry({ level: "info", service: "s", instance: "i" });
    const line = ${JSON.stringify(line)};
    process.stdin.setEncoding("utf8").on("data", async (words) => {
      for (const word of words.trim().split("\\n")) {
        const count = Number(word);
        if (count > 0) for (let i = 0; i < count; i += 1) accessLog.write(i + line);
        else {
          await output.flush(5_000);
          process.exit(0);
        }
      }
    });`;
  const child = spawn(
    "prlimit",
    [`--fsize=${limitBytes}:unlimited`, process.execPath, "--input-type=module", "-e", source],
    { stdio: ["pipe", fd, "pipe"] },
  );
  const stderr = text(child.stderr as NonNullable<typeof child.stderr>);
  return {
    path,
    tell: (word) => void child.stdin?.write(`${word}\n`),
    lift: () => void execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=unlimited"]),
    read: () => readFileSync(path, "utf8").split("\n").slice(0, -1),
    async end() {
      child.stdin?.write("end\n");
      await once(child, "exit");
      closeSync(fd);
      return await stderr;
    },
  };
}

test("lines wait for a full disk, whole and in order", { timeout: 30_000 }, async () => {
  const child = startChild();
  child.tell("100");
  await eventually("the file is at its limit", () => readFileSync(child.path).length === limitBytes);
  child.lift();
  await eventually("all lines are there", () => child.read().length === 101);
  const lines = child.read();
  assert.deepEqual(
    lines.slice(0, 100),
    Array.from({ length: 100 }, (_, i) => i + line),
  );
  const told = JSON.parse(lines[100] as string) as Record<string, unknown>;
  assert.deepEqual([told["msg"], told["lostLines"]], ["stdout accepts log lines again", 0]);
  const stderr = await child.end();
  assert.match(
    stderr,
    /^outrigger: stdout takes no log lines \(EFBIG.*\): they wait in memory, up to 8 MiB\n$/,
  );
});

test("what found no room behind a full disk is counted and told", { timeout: 30_000 }, async () => {
  const child = startChild();
  const count = 10_000;
  child.tell(String(count));
  await eventually("the file is at its limit", () => readFileSync(child.path).length === limitBytes);
  child.lift();
  const isTold = (text: string): boolean => text.includes('"stdout accepts log lines again"');
  await eventually("the loss is told", () => child.read().some(isTold));
  await child.end();
  const lines = child.read();
  const { lostLines } = JSON.parse(lines.find(isTold) ?? "") as { lostLines: number };
  assert.ok(lostLines > 0 && lostLines < count, `${lostLines} lost`);
  assert.equal(lines.length - 1 + lostLines, count);
  assert.ok((lines.length - 2) * 1000 <= bufferBytes + limitBytes);
});

test("a check that says no is a full disk", async () => {
  const path = join(folder, "checked");
  const fd = openSync(path, "a");
  const told: string[] = [];
  let full = true;
  const stream = new FileStream({
    fd,
    checkDisk() {
      if (full) throw new Error("ENOSPC");
    },
    onFailed: ({ message }) => void told.push(message),
    onRecovered: () => void told.push("recovered"),
  });
  stream.write("a line\n");
  assert.deepEqual([told, readFileSync(path, "utf8")], [["ENOSPC"], ""]);
  full = false;
  await eventually("it is written", () => told.length === 2);
  assert.deepEqual([told[1], readFileSync(path, "utf8")], ["recovered", "a line\n"]);
  stream.destroy();
  closeSync(fd);
});
