// Measures how long `outrigger policy replay` takes for 100,000 lines, and whether two runs give the same result.
// node test/bench/replay.ts
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { outrigger } from "../support/process.ts";

const requests = 100_000;
const goalSeconds = 10;

const folder = mkdtempSync(join(tmpdir(), "outrigger-replay-"));
const log = join(folder, "access.log");
const policy = join(folder, "policy.yaml");
const beginMs = Date.parse("2026-11-28T10:00:00Z");
const line = (at: number): string =>
  JSON.stringify({
    time: beginMs + at * 10,
    msg: "request",
    service: "orders",
    route: "/api/*",
    requestId: `r${at}`,
    method: at % 10 === 0 ? "DELETE" : "GET",
    path: `/api/users/${at % 997}`,
    host: "orders.test",
    status: 200,
    durationMs: 5,
    requestBytes: 0,
    clientIp: `192.0.2.${at % 250}`,
    userId: `u${at % 50}`,
  });
writeFileSync(log, Array.from({ length: requests }, (_, at) => line(at)).join("\n"));
writeFileSync(
  policy,
  `apiVersion: outrigger/v1
plugins: [logging, cors, auth, rate-limit, cache, transform]
pluginConfig:
  auth: { apiKeys: {} }
  rate-limit: { limits: [{ name: per-caller, by: subject, limit: 100, window: 1m }] }
  cache: { ttlSeconds: 30 }
routes: [{ path: /api/* }]
`,
);

const reports: string[] = [];
const seconds: number[] = [];
for (let run = 0; run < 2; run += 1) {
  const startMono = performance.now();
  const { code, stdout, stderr } = await outrigger(["policy", "replay", policy, "--from", log]);
  if (code !== 0) throw new Error(stderr);
  seconds.push((performance.now() - startMono) / 1_000);
  reports.push(stdout);
}
rmSync(folder, { recursive: true });

process.stdout.write(reports[0] ?? "");
const [first = 0, second = 0] = seconds;
const same = reports[0] === reports[1];
const met = Math.max(first, second) <= goalSeconds;
process.stdout.write(
  `\n${requests} lines: ${first.toFixed(1)} and ${second.toFixed(1)} s (goal ${goalSeconds} s: ${met ? "met" : "missed"}); ${same ? "the same report twice" : "two reports differ"}\n`,
);
process.exitCode = met && same ? 0 : 1;
