// What a plugin process may send during one life.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, it } from "node:test";
import { PluginProcess } from "../../../../src/runtime/process/plugin-process.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-speech-"));
after(() => rmSync(folder, { recursive: true }));

/** Says these frames again and again, each an expression. @returns why it ended, and how many messages came before */
async function saying(...frames: readonly string[]): Promise<{ reason: string; metrics: number }> {
  const file = join(folder, "program.cjs");
  writeFileSync(
    file,
    `const socket = new (require("node:net").Socket)({ fd: 3 });
    const frame = (messages) => {
      const text = Buffer.from(JSON.stringify(messages));
      const head = Buffer.alloc(5);
      head.writeUInt32BE(text.length, 0);
      socket.write(Buffer.concat([head, text]));
    };
    setInterval(() => { ${frames.map((each) => `frame(${each});`).join(" ")} }, 1);`,
  );
  let metrics = 0;
  const ended = Promise.withResolvers<string>();
  const life = new PluginProcess({
    command: { program: process.execPath, args: [file], warning: undefined },
    maxBodyBytes: 1_024,
    timeMs: 1_000,
    now: () => performance.now(),
    onMessage(message, blobs) {
      if (message[0] === "request") life.earn(message, blobs);
      else metrics += 1;
    },
    onEnd: ended.resolve,
  });
  const reason = await ended.promise;
  await life.close();
  return { reason, metrics };
}

it("pays for what nobody asked for, however many small requests come with it", async () => {
  const flood = `[["metrics", "x".repeat(500_000)]]`;
  const requests = `Array.from({ length: 64 }, (_, i) => ["request", i, "cache.get", [0]])`;
  const { reason, metrics } = await saying(requests, flood);
  assert.equal(reason, "it says more than it was asked for");
  assert.ok(metrics <= 5, `${metrics}`);
});
