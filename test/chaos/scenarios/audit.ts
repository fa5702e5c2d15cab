// Faults of the audit trail's storage: two workers, each with its own file, and no space left for either.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type AuditPlace, auditPlace } from "../../support/audit.ts";
import { type Client, clientsOf, startCrew, startService, type TestCrew } from "../../support/crew.ts";
import { outrigger } from "../../support/process.ts";
import { eventually } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

const workers = ["1", "2"];
/** More records than both workers keep in memory. */
const requests = 24_000;
/** Limit on the memory that waiting records and open requests may take. */
const mostGrownBytes = 128 * 1_048_576;
const begins = "audit records cannot be written";

interface Fleet {
  readonly crew: TestCrew;
  readonly place: AuditPlace;
  readonly clients: readonly Client[];
  /** Number of requests that reached the service. */
  readonly asked: () => number;
}

async function fleetOf(scene: Scene, mode: "buffered" | "blocking"): Promise<Fleet> {
  const place = auditPlace();
  scene.after(() => place[Symbol.dispose]());
  let asked = 0;
  const service = await startService((_request, response) => {
    asked += 1;
    response.end("hello");
  });
  scene.after(() => {
    service.closeAllConnections();
    service.close();
  });
  const logging = { level: "silent" };
  const policy = { plugins: ["logging"], pluginConfig: { logging }, audit: { mode } };
  const crew = await startCrew({ policy, upstream: service.url, env: place.env });
  scene.after(() => crew.stop());
  const clients = await clientsOf(crew);
  scene.after(() => clients.forEach((client) => client.close()));
  return { crew, place, clients, asked: () => asked };
}

/**
 * Simulates a full disk with a limit on file size, which can be lifted. A few bytes are left, so that a line is torn.
 */
function limitFiles({ crew, place }: Fleet, isFull: boolean): void {
  for (const [worker, pid] of crew.pids()) {
    const bytes = statSync(`${place.file}.w${worker}`).size + 40;
    execFileSync("prlimit", ["--pid", String(pid), `--fsize=${isFull ? bytes : "unlimited"}:unlimited`]);
  }
}

/** @returns ids of the answers, by status */
async function ask({ clients }: Fleet, count: number): Promise<Map<number, string[]>> {
  const answers = new Map<number, string[]>();
  let left = count;
  await Promise.all(
    clients.map(async (client) => {
      while (left > 0) {
        left -= 1;
        const { status, fields } = await client.get("/x");
        answers.set(status, [...(answers.get(status) ?? []), String(fields["x-request-id"])]);
      }
    }),
  );
  return answers;
}

const memory = async ({ crew }: Fleet): Promise<number> =>
  await crew.metric("process_resident_memory_bytes{");
const lost = async ({ crew }: Fleet): Promise<number> =>
  await crew.metric('outrigger_audit_records_total{service="default",result="lost"');

/** Checks that both workers reported the begin and the end of the fault once each. */
async function toldOnce({ crew }: Fleet): Promise<void> {
  await crew.until(workers.length, ({ msg }) => msg === "audit records are written again");
  const told = crew.lines().filter(({ msg }) => String(msg).startsWith(begins));
  assert.deepEqual(told.map(({ worker }) => String(worker)).sort(), workers);
}

/**
 * Ends the fleet and verifies its files.
 * @returns the records in them
 */
async function recordsOf({ crew, place }: Fleet): Promise<Record<string, unknown>[]> {
  const { code, stderr } = await crew.stop();
  assert.deepEqual([code, stderr], [0, ""]);
  const verified = await outrigger(["audit", "verify", place.file], place.env);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  const found = await outrigger(
    ["audit", "search", "--json", "--kind", "access", "--limit", "100000", place.file],
    place.env,
  );
  assert.equal(found.code, 0, found.stderr);
  return [...gaps(place), ...lines(found.stdout)];
}

const lines = (text: string): Record<string, unknown>[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const gaps = (place: AuditPlace): Record<string, unknown>[] =>
  workers.flatMap((worker) => place.records(`.w${worker}`)).filter(({ kind }) => kind === "gap");

const requestIdOf = ({ person }: Record<string, unknown>): unknown =>
  (person as { readonly requestId: string } | undefined)?.requestId;

export const scenarios: readonly Scenario[] = [
  {
    group: "audit",
    fault: "the disk under two workers' audit files is full for a while (buffered)",
    promised:
      "requests go on; memory is bounded; one line a worker; what was lost is counted, and the chain says so",
    async run(scene) {
      const fleet = await fleetOf(scene, "buffered");
      await ask(fleet, 1_000);
      await delay(200);
      const before = await memory(fleet);
      limitFiles(fleet, true);
      const answers = await ask(fleet, requests);
      assert.deepEqual([...answers.keys()], [200]);
      const grown = (await memory(fleet)) - before;
      assert.ok(grown < mostGrownBytes, `${grown} bytes`);
      const gone = await lost(fleet);
      assert.ok(gone > 0);
      limitFiles(fleet, false);
      await toldOnce(fleet);
      const records = await recordsOf(fleet);
      const said = records
        .filter(({ kind }) => kind === "gap")
        .reduce((sum, gap) => sum + Number(gap["lost"]), 0);
      const access = records.filter(({ kind }) => kind === "access").length;
      assert.equal(said, gone);
      assert.ok(access + said >= 1_000 + requests, `${access} recorded, ${said} told of as lost`);
      return `${access} recorded, ${said} lost and told of, ${Math.round(grown / 1_048_576)} MiB more of two processes`;
    },
  },
  {
    group: "audit",
    fault: "the disk under two workers' audit files is full for a while (blocking)",
    promised:
      "503, and the service is not asked; no answer of it goes out without its record; then as before",
    async run(scene) {
      const fleet = await fleetOf(scene, "blocking");
      const first = (await ask(fleet, 500)).get(200) ?? [];
      limitFiles(fleet, true);
      const full = await ask(fleet, 200);
      await fleet.crew.until(workers.length, ({ msg }) => String(msg).startsWith(begins));
      const asked = fleet.asked();
      const refused = await ask(fleet, 2_000);
      assert.deepEqual([...refused.keys()], [503]);
      assert.equal(fleet.asked(), asked, "what cannot be recorded is not done");
      limitFiles(fleet, false);
      await toldOnce(fleet);
      await eventually("all is well", async () => (await ask(fleet, 100)).get(503) === undefined);
      const last = (await ask(fleet, 500)).get(200) ?? [];
      const recorded = new Set((await recordsOf(fleet)).map(requestIdOf));
      const answered = [...first, ...(full.get(200) ?? []), ...last];
      assert.ok(answered.length >= 1_000);
      assert.deepEqual(
        answered.filter((id) => !recorded.has(id)),
        [],
      );
      return `${refused.get(503)?.length} refused, each of ${answered.length} answers has its record`;
    },
  },
];
