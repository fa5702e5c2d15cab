// Messages between primary and workers are checked, and their lines stay whole.
import assert from "node:assert/strict";
import { PassThrough, Readable, Writable } from "node:stream";
import { describe, it } from "node:test";
import { deserialize, serialize } from "node:v8";
import fc from "fast-check";
import { createOutput } from "../../../src/telemetry/output.ts";
import { relayLines } from "../../../src/workers/log-relay.ts";
import { parseToPrimary, parseToWorker } from "../../../src/workers/messages.ts";

const sent = (message: unknown): unknown => deserialize(serialize(message));

describe("a message", () => {
  it("arrives as it was sent", () => {
    const prepare = {
      type: "prepare",
      id: 1,
      raw: { shared: Buffer.from("{}"), layer: undefined, format: "json" },
    };
    const heard = parseToWorker(sent(prepare));
    assert.ok(heard.type === "prepare");
    assert.equal(Buffer.from(heard.raw.shared).toString(), "{}");
    const prepared = { type: "prepared", id: 1, problems: [{ path: "a", message: "b", line: 2, column: 3 }] };
    assert.deepEqual(parseToPrimary(sent(prepared)), prepared);
  });

  it("of another kind, with more or less in it, is refused", () => {
    for (const message of [
      undefined,
      "stop",
      { type: "restart" },
      { type: "stop", now: true },
      { type: "fleet", size: 0 },
      { type: "prepare", id: 1, raw: { shared: "{}", layer: undefined, format: "json" } },
    ]) {
      assert.throws(() => parseToWorker(message));
    }
    for (const message of [
      { type: "stop" },
      { type: "state", inFlight: -1, troubles: [] },
      { type: "metrics", id: 1, snapshot: { families: [{}], process: "" } },
      { type: "prepared", id: 1, problems: Array.from({ length: 201 }, () => ({ path: "", message: "" })) },
    ]) {
      assert.throws(() => parseToPrimary(message));
    }
  });
});

describe("a worker's lines", () => {
  it("come through whole, in order, however the pipe cuts them", async () => {
    const line = fc.string({ unit: "grapheme", maxLength: 30 }).map((text) => text.replaceAll("\n", ""));
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.nat(40)), async (lines, cuts) => {
        const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(""));
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) chunks.push(bytes.subarray(at, (at += cut)));
        chunks.push(bytes.subarray(at));
        const from = Readable.from(chunks.filter(({ length }) => length > 0)).pipe(new PassThrough());
        const writes: string[] = [];
        const stream = new Writable({
          write(chunk: Buffer, _encoding, done) {
            writes.push(chunk.toString());
            done();
          },
        });
        const output = createOutput({ stream, delayMs: 0 });
        relayLines(from, output);
        await new Promise((resolve) => from.once("close", resolve));
        await output.flush(1_000);
        assert.equal(writes.join(""), bytes.toString());
        for (const write of writes) assert.ok(write.endsWith("\n"));
      }),
      { numRuns: 50 },
    );
  });
});
