// Measures what the audit trail costs a request: `node test/bench/audit.ts`. The figure is this process's CPU for one
// record, sealed and chained into a file, as the proxy adds it: buffered, and in blocking mode with 32 requests that
// wait at a time.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Auditor } from "../../src/audit/auditor.ts";
import { FileSink } from "../../src/audit/file-sink.ts";
import { AuditKey } from "../../src/audit/key.ts";
import { FileKeyPlace } from "../../src/audit/key-places.ts";
import { SubjectKeys } from "../../src/audit/subject-keys.ts";
import { Trail } from "../../src/audit/trail.ts";
import { Fields } from "../../src/plugin-api/contract.ts";
import { LiveResponse } from "../../src/runtime/response.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { exchangeOf } from "../../src/testing/exchange.ts";
import { auditJwk } from "../support/audit.ts";

type Mode = "off" | "buffered" | "blocking";

const rounds = 7;
const requests = 20_000;
const atOnce = 32;
const callers = 100;
/** Fewer records than the trail holds; then the bench waits for the trail, so that no record is lost. */
const burst = 4_096;
const ignore = (): void => {};
const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** A trail in a file, and rounds of requests with and without it. */
class Bench {
  readonly counts: Record<string, number> = {};
  readonly #trail: Trail;
  #added = 0;
  readonly #folder = mkdtempSync(join(tmpdir(), "outrigger-audit-bench-"));

  constructor() {
    const path = join(this.#folder, "audit.jsonl");
    const key = new AuditKey(auditJwk());
    const keepMs = 86_400_000;
    const limits = { maxBytes: 2 ** 32, retentionMs: keepMs, sync: false, clock: systemClock };
    this.#trail = new Trail({
      name: "bench",
      facts: {},
      key,
      subjects: new SubjectKeys([key], new FileKeyPlace(path, keepMs)),
      sink: new FileSink({ path, ...limits }),
      copies: [],
      heads: undefined,
      clock: systemClock,
      logger,
      records: (result) => ({
        inc: (by = 1) => void (this.counts[result] = (this.counts[result] ?? 0) + by),
      }),
    });
  }

  /** @returns microseconds of CPU, and of waiting, for one request */
  async round(mode: Mode): Promise<{ readonly cpu: number; readonly wait: number }> {
    const auditor = new Auditor(this.#trail, "d".repeat(64), mode === "blocking", systemClock);
    let waitedMs = 0;
    const startedAt = process.cpuUsage();
    for (let i = 0; i < requests; i += atOnce) {
      const waits: Promise<unknown>[] = [];
      const beganMono = performance.now();
      for (let n = 0; n < atOnce; n += 1) {
        const identity = { userId: `user-${(i + n) % callers}`, credentialId: "key-1" };
        const exchange = exchangeOf({ id: `request-${i + n}`, path: "/api/users/7", identity });
        if (mode === "off") continue;
        const written = auditor.answering(exchange, answer, undefined);
        if (written !== undefined) waits.push(written);
      }
      // Requests come in separate turns of the event loop, in every mode.
      if (waits.length > 0) await Promise.all(waits);
      else await new Promise((resolve) => setImmediate(resolve));
      waitedMs += performance.now() - beganMono;
      if (mode !== "off") this.#added += atOnce;
      if (i % burst === 0) await this.#caughtUp();
    }
    await this.#caughtUp();
    const { user, system } = process.cpuUsage(startedAt);
    return { cpu: (user + system) / requests, wait: (waitedMs * 1_000 * atOnce) / requests };
  }

  async #caughtUp(): Promise<void> {
    while ((this.counts["written"] ?? 0) + (this.counts["lost"] ?? 0) < this.#added) await delay(2);
  }

  async close(): Promise<void> {
    await this.#trail.close(2_000);
    rmSync(this.#folder, { recursive: true });
  }
}

const answer = LiveResponse.fromUpstream(200, "OK", new Fields([]));
const modes = ["off", "buffered", "blocking"] as const;
const lowest = { off: Infinity, buffered: Infinity, blocking: Infinity };
const waited = { ...lowest };
const bench = new Bench();
for (let round = 0; round < rounds; round += 1)
  for (const mode of modes) {
    const { cpu, wait } = await bench.round(mode);
    lowest[mode] = Math.min(lowest[mode], cpu);
    waited[mode] = Math.min(waited[mode], wait);
  }
await bench.close();
for (const mode of ["buffered", "blocking"] as const)
  console.log(`${mode}: ${(lowest[mode] - lowest.off).toFixed(1)} µs of CPU a request over off`);
console.log(`blocking: an answer waits ${waited.blocking.toFixed(0)} µs for its record, ${atOnce} at a time`);
console.log(`records: ${JSON.stringify(bench.counts)}`);
