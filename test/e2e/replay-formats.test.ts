// `policy replay` and `policy coverage` over the log of a real sidecar, in each of its formats.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { outrigger } from "../support/process.ts";
import { startSidecar } from "../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-formats-"));
after(() => rmSync(folder, { recursive: true }));

const candidate = join(folder, "candidate.json");
writeFileSync(
  candidate,
  JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["logging", "rate-limit"],
    pluginConfig: { "rate-limit": { limits: [{ name: "few", by: "ip", limit: 3, window: "1h" }] } },
    routes: [{ path: "/api/*" }],
  }),
);

interface Group {
  readonly requests: number;
  readonly was: { readonly route?: string | null; readonly by?: string | null; readonly status: number };
  readonly becomes: { readonly status: number };
  readonly lacks?: readonly string[];
}
interface Report {
  readonly requests: number;
  readonly same: number;
  readonly notReplayed: Readonly<Record<string, number>>;
  readonly changed: readonly Group[];
  readonly untold: readonly Group[];
}

/** Four answers of the service, one that it has no such thing, a route that is not there. @returns the log's file */
async function recorded(format: string): Promise<string> {
  await using sidecar = await startSidecar({
    upstream: (request, response) => {
      response.statusCode = request.url?.startsWith("/api/none") === true ? 404 : 200;
      response.end("ok");
    },
    policy: {
      plugins: ["logging"],
      pluginConfig: { logging: { query: true } },
      routes: [{ path: "/api/*" }],
    },
    env: { OUTRIGGER_SERVICE: "orders", OUTRIGGER_LOG_FORMAT: format },
  });
  const paths = ["/api/none", "/api/%22x%22?a=%22", "/api/b", "/api/c", "/api/d", "/nowhere"];
  for (const path of paths) await (await fetch(`${sidecar.url}${path}`)).text();
  await sidecar.stop();
  const file = join(folder, format);
  const lines = sidecar.lines.map((line) =>
    typeof line["text"] === "string" ? line["text"] : JSON.stringify(line),
  );
  writeFileSync(file, lines.join("\n"));
  return file;
}

async function report(file: string, ...more: string[]): Promise<Report> {
  const args = ["policy", "replay", candidate, "--from", file, "--json", ...more];
  const { code, stdout, stderr } = await outrigger(args);
  assert.deepEqual([code, stderr], [0, ""]);
  return JSON.parse(stdout) as Report;
}

const shown = ({ requests, was, becomes, lacks }: Group) => [requests, was, becomes.status, lacks];

for (const format of ["json", "ecs", "otel"])
  test(`lines as ${format} are replayed with all that they say`, async () => {
    const { requests, same, changed, untold } = await report(await recorded(format));
    assert.deepEqual([requests, same, untold], [6, 4, []]);
    assert.deepEqual(changed.map(shown), [[2, { route: "/api/*", by: null, status: 200 }, 429, undefined]]);
  });

test("of lines as clf nobody can tell who answered; the service is the one that is named", async () => {
  const file = await recorded("clf");
  const { requests, same, changed, untold } = await report(file, "--service", "orders");
  // The route that is not there: refused as it was, by whomever.
  assert.deepEqual([requests, same], [6, 3]);
  assert.deepEqual(changed.map(shown), [[2, { status: 200 }, 429, undefined]]);
  assert.deepEqual(untold.map(shown), [[1, { status: 404 }, 404, ["who answered it"]]]);
  const { stdout } = await outrigger(["policy", "replay", candidate, "--from", file, "--service", "orders"]);
  assert.match(stdout, /^2 +orders +\/api\/\* +200 +429 by rate-limit +address 127\.0\.0\.1 \(2\)/m);
  const { code, stderr } = await outrigger(["policy", "replay", candidate, "--from", file]);
  assert.equal(code, 1);
  assert.match(stderr, /6 lines: it names no service: --service says which/);
});
