// Records on their way to storage: together, in order, once; limited and counted while the storage is not available.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  rmdirSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { describe, test, type TestContext } from "node:test";
import { FileSink, filesBefore } from "../../../src/audit/file-sink.ts";
import { HeadBoard, headsKey } from "../../../src/audit/head-board.ts";
import { AuditKey, HeadVerifier } from "../../../src/audit/key.ts";
import { FileKeyPlace, keyFileOf } from "../../../src/audit/key-places.ts";
import { FileShelf, KeyDirectory } from "../../../src/audit/key-directory.ts";
import { fileLines, shownHeads, trailFiles } from "../../../src/audit/read-trail.ts";
import type { AccessEvent } from "../../../src/audit/record.ts";
import { RedisSink, streamKey } from "../../../src/audit/redis-sink.ts";
import type { Found, Sink, Written } from "../../../src/audit/sink.ts";
import { type KeyPlace, SubjectKeys, type WrappedKey } from "../../../src/audit/subject-keys.ts";
import { Trail } from "../../../src/audit/trail.ts";
import type { TrailLimits } from "../../../src/audit/trail-options.ts";
import { TrailVerifier, type Verified } from "../../../src/audit/verify.ts";
import type { Store } from "../../../src/plugin-api/store.ts";
import { auditJwk, type AuditPlace, auditPlace } from "../../support/audit.ts";
import { eventually } from "../../support/redis.ts";
import { storesOf } from "../../support/redis-store.ts";

const startedAt = Date.parse("2026-03-01T12:00:00Z");
const access = (userId: string, at = startedAt): AccessEvent => ({
  kind: "access",
  at,
  decision: "allowed",
  status: 200,
  method: "GET",
  route: "/api/*",
  policy: "d".repeat(64),
  person: { userId, address: "192.0.2.7", path: "/api/7" },
});

/** A place whose writes the test lets through, refuses or holds. */
class TestSink implements Sink {
  readonly lines: string[] = [];
  refusing = false;
  held: Promise<void> | undefined = undefined;
  heldOpen: Promise<void> | undefined = undefined;
  writes = 0;

  async open(): Promise<Found> {
    await this.heldOpen;
    return {};
  }

  async write(lines: readonly string[]): Promise<Written> {
    this.writes += 1;
    await this.held;
    if (this.refusing) throw new Error("no room");
    this.lines.push(...lines);
    return {};
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class TestKeyPlace implements KeyPlace {
  readonly kept = new Map<string, string>();
  away = false;
  held: Promise<void> | undefined = undefined;

  async obtain(_period: string, offered: readonly WrappedKey[]): Promise<readonly string[]> {
    await this.held;
    if (this.away) throw new Error("away");
    for (const { name, wrapped } of offered) if (!this.kept.has(name)) this.kept.set(name, wrapped);
    return offered.map(({ name }) => this.kept.get(name) as string);
  }
}

interface Scene {
  readonly trail: Trail;
  readonly counts: { written: number; lost: number };
  readonly said: string[];
  readonly clock: { nowMs: number };
}

function sceneOf(
  t: TestContext,
  key: AuditKey,
  sink: Sink,
  {
    limits = {},
    place = new TestKeyPlace(),
    clock = { nowMs: startedAt },
    heads,
  }: { limits?: Partial<TrailLimits>; place?: KeyPlace; clock?: { nowMs: number }; heads?: HeadBoard } = {},
): Scene {
  const counts = { written: 0, lost: 0 };
  const said: string[] = [];
  const say = (_fields: unknown, text: string): void => void said.push(text);
  const trail = new Trail({
    name: "pod-1",
    facts: { version: "1" },
    key,
    subjects: new SubjectKeys([key], place),
    sink,
    copies: [],
    heads,
    clock: { now: () => clock.nowMs, mono: () => performance.now() },
    logger: { debug: say, info: say, warn: say, error: say },
    records: (result) => ({ inc: (by = 1) => void (counts[result] += by) }),
    limits: { delayMs: 1, retryMs: 5, ...limits },
  });
  t.after(() => trail.close(200));
  return { trail, counts, said, clock };
}

const fileSink = (place: AuditPlace, clock: { nowMs: number }, maxBytes = 65_536): FileSink =>
  new FileSink({
    path: place.file,
    maxBytes,
    retentionMs: 3 * 86_400_000,
    sync: true,
    clock: { now: () => clock.nowMs, mono: () => performance.now() },
  });

async function verified(place: AuditPlace, nowMs = startedAt): Promise<Verified> {
  const keys = new HeadVerifier([place.key.publicKey]);
  const verifier = new TrailVerifier({ verify: (...given) => keys.verify(...given), nowMs });
  for await (const line of fileLines(place.file)) verifier.add(line);
  return verifier.end();
}

/** What is raced with something that should not take so long. */
const late = (ms: number): Promise<string> =>
  new Promise((resolve) => void setTimeout(() => resolve("too late"), ms).unref());

const parsed = (lines: readonly string[]): Record<string, unknown>[] =>
  lines.map((line) => JSON.parse(line) as Record<string, unknown>);

describe("a trail", () => {
  test("writes what answers wait for together, and resolves once it is written", async (t) => {
    using place = auditPlace();
    const sink = new TestSink();
    const { trail, counts } = sceneOf(t, place.key, sink, { limits: { delayMs: 60_000 } });
    const hold = Promise.withResolvers<void>();
    sink.held = hold.promise;
    const answers = Promise.all(["a", "b", "c"].map((user) => trail.write(access(user))));
    let through = false;
    void answers.then(() => (through = true));
    await eventually("a write", () => sink.writes === 1);
    assert.equal(through, false);
    hold.resolve();
    assert.deepEqual(await answers, [true, true, true]);
    assert.equal(sink.writes, 1);
    assert.deepEqual(
      parsed(sink.lines).map(({ kind, seq }) => `${String(kind)} ${String(seq)}`),
      ["start 1", "access 2", "access 3", "access 4"],
    );
    assert.equal(counts.written, 4);
  });

  test("holds a bounded number while nothing can be written, then says how many it lost", async (t) => {
    using place = auditPlace();
    const sink = new TestSink();
    const { trail, counts, said } = sceneOf(t, place.key, sink, { limits: { queued: 10 } });
    sink.refusing = true;
    trail.add(access("a"));
    await eventually("trouble", () => !trail.writes);
    assert.equal(await trail.write(access("b")), false);
    for (let i = 0; i < 30; i += 1) trail.add(access("c"));
    const { lost } = counts;
    assert.ok(lost >= 20, String(lost));
    sink.refusing = false;
    await eventually("everything", () => sink.lines.length === 2 + 10 + 1);
    const gap = parsed(sink.lines).find(({ kind }) => kind === "gap");
    assert.equal(gap?.["lost"], lost);
    assert.deepEqual(said, [
      "audit records cannot be written; they wait in memory, and are lost when it is full (see OUTRIGGER_AUDIT_FILE, REDIS_URL)",
      "audit records are written again",
    ]);
    assert.equal(await trail.write(access("d")), true);
  });

  test("lets no answer wait longer than its limit, and writes the record all the same", async (t) => {
    using place = auditPlace();
    const sink = new TestSink();
    const { trail } = sceneOf(t, place.key, sink, { limits: { waitMs: 20 } });
    const hold = Promise.withResolvers<void>();
    sink.held = hold.promise;
    const first = trail.write(access("a"));
    await eventually("a write", () => sink.writes === 1);
    const second = trail.write(access("b"));
    assert.deepEqual(await Promise.all([first, second]), [false, false]);
    assert.equal(trail.writes, false);
    hold.resolve();
    await eventually("both", () => sink.lines.length === 3);
    assert.equal(trail.writes, true);
  });

  for (const what of ["place that does not open", "place of keys that does not answer"])
    test(`lets no answer wait longer than its limit for a ${what}`, async (t) => {
      using place = auditPlace();
      const sink = new TestSink();
      const keys = new TestKeyPlace();
      const hold = Promise.withResolvers<void>();
      if (what === "place that does not open") sink.heldOpen = hold.promise;
      else keys.held = hold.promise;
      const { trail } = sceneOf(t, place.key, sink, { place: keys, limits: { waitMs: 20 } });
      t.after(() => hold.resolve());
      assert.equal(await Promise.race([trail.write(access("a")), late(2_000)]), false);
      assert.equal(trail.writes, false);
      assert.equal(await trail.write(access("b")), false);
      hold.resolve();
      await eventually("the records", () => trail.writes && sink.lines.some((line) => /"access"/.test(line)));
      assert.equal(await trail.write(access("c")), true);
    });

  test("asks again for a subject's key within a minute, also after its clock was set back", async (t) => {
    using place = auditPlace();
    const keys = new TestKeyPlace();
    const { trail, clock } = sceneOf(t, place.key, new TestSink(), { place: keys });
    assert.equal(await trail.write(access("ann")), true);
    keys.kept.clear();
    clock.nowMs -= 3_600_000;
    assert.equal(await trail.write(access("ann")), true);
    assert.equal(keys.kept.size, 1, "it was deleted meanwhile: there is a new one");
  });

  test("whose subjects' keys cannot be kept records on, but lets no answer go for it", async (t) => {
    using place = auditPlace();
    const sink = new TestSink();
    const keys = new TestKeyPlace();
    const { trail } = sceneOf(t, place.key, sink, { place: keys });
    assert.equal(await trail.write(access("known")), true);
    keys.away = true;
    assert.equal(await trail.write(access("known")), true);
    const takes = (userId: string): boolean => trail.takes({ userId, issuer: undefined }, startedAt);
    assert.equal(takes("new"), true, "nobody has needed a key yet that cannot be kept");
    assert.equal(await trail.write(access("new")), false);
    assert.deepEqual([takes("known"), takes("new"), takes("other")], [true, false, false]);
    await eventually("its record", () => sink.lines.length === 4);
    keys.away = false;
    assert.equal(await trail.write(access("new")), true);
    assert.equal(takes("other"), true);
    const shelf = {
      periods: () => Promise.resolve(["2026-03"]),
      all: () => Promise.resolve([...keys.kept].map(([name, wrapped]) => ({ name, wrapped }))),
      delete: () => Promise.resolve(0),
    };
    const directory = new KeyDirectory([place.key], [shelf]);
    const people = await Promise.all(parsed(sink.lines).map((record) => directory.open(record)));
    assert.deepEqual(
      people.slice(1).map((person) => person?.userId),
      ["known", "known", "new", "new"],
    );
    assert.equal((await directory.tagsOf({ userId: "new", issuer: undefined })).size, 1);
  });
});

describe("files of a trail", () => {
  test("are put aside by size, the oldest deleted, and what is left verifies", async (t) => {
    using place = auditPlace();
    const clock = { nowMs: startedAt };
    const { trail } = sceneOf(t, place.key, fileSink(place, clock), { clock });
    for (let i = 0; i < 300; i += 1) {
      clock.nowMs += 1;
      assert.equal(await trail.write(access(`user-${i % 5}`, clock.nowMs)), true);
    }
    await trail.close(1_000);
    const files = await filesBefore(place.file);
    assert.ok(files.length > 5, String(files.length));
    const { findings, chains } = await verified(place);
    assert.deepEqual(findings, []);
    assert.ok((chains[0]?.from ?? 0) > 1);
    // Whoever deletes one more is found.
    rmSync(files[0] as string);
    const [finding] = (await verified(place)).findings;
    assert.match(finding?.problem ?? "", /are missing, and no signed record says that they were deleted/);
    rmSync(files[3] as string);
    assert.match((await verified(place)).findings[0]?.problem ?? "", /before it are missing/);
  });

  test("are put aside each day, and deleted by age", async (t) => {
    using place = auditPlace();
    const clock = { nowMs: Date.now() - 10 * 86_400_000 };
    const { trail } = sceneOf(t, place.key, fileSink(place, clock), { clock });
    assert.equal(await trail.write(access("a", clock.nowMs)), true);
    clock.nowMs += 86_400_000;
    assert.equal(await trail.write(access("a", clock.nowMs)), true);
    assert.equal((await filesBefore(place.file)).length, 1);
    clock.nowMs = Date.now() + 4 * 86_400_000;
    assert.equal(await trail.write(access("a", clock.nowMs)), true);
    await trail.close(1_000);
    assert.equal((await filesBefore(place.file)).length, 0);
    assert.deepEqual((await verified(place, clock.nowMs)).findings, []);
  });

  test("that somebody else writes to, too, are not written; one that was deleted is begun anew, and missed", async (t) => {
    using place = auditPlace();
    const clock = { nowMs: startedAt };
    const { trail } = sceneOf(t, place.key, fileSink(place, clock), { clock });
    assert.equal(await trail.write(access("a")), true);
    appendFileSync(place.file, "{}\n");
    assert.equal(await trail.write(access("a")), false);
    rmSync(place.file);
    await eventually("the file", () => existsSync(place.file) && trail.writes);
    assert.equal(await trail.write(access("a")), true);
    await trail.close(1_000);
    assert.match((await verified(place)).findings[0]?.problem ?? "", /records 1 to \d+ are missing/);
  });

  test("are those of all processes of a sidecar, also where only those that were put aside are left", async () => {
    using place = auditPlace();
    for (const end of [".w1", ".w2.20260301T120000000Z", ".w2.keys.2026-03", ".w2x", ".wprimary"])
      writeFileSync(`${place.file}${end}`, "");
    const ofWorkers = [".w1", ".w2", ".wprimary"].map((end) => `${place.file}${end}`);
    assert.deepEqual(await trailFiles(place.file), ofWorkers);
    writeFileSync(`${place.file}.20260301T120000000Z`, "");
    assert.deepEqual(await trailFiles(place.file), [place.file, ...ofWorkers]);
    assert.deepEqual(await trailFiles(`${place.file}.other`), [`${place.file}.other`]);
  });

  test("that cannot be deleted do not have lines twice, and are told of", async (t) => {
    using place = auditPlace();
    // What cannot be read as a file stands for one that may not be deleted.
    const old = `${place.file}.20200101T000000000Z`;
    mkdirSync(old);
    utimesSync(old, new Date("2020-01-01"), new Date("2020-01-01"));
    const newest = `${place.file}.20200102T000000000Z`;
    writeFileSync(newest, "");
    const clock = { nowMs: startedAt };
    const { trail, said } = sceneOf(t, place.key, fileSink(place, clock), { clock });
    assert.equal(await trail.write(access("a")), true);
    assert.equal(await trail.write(access("b")), true);
    await trail.close(1_000);
    assert.deepEqual(said, ["old audit files cannot be deleted: they take more and more room"]);
    rmdirSync(old);
    const { findings, records } = await verified(place);
    assert.deepEqual([findings, records], [[], 4]);
  });

  test("that were renamed are begun anew; in the place of another file nothing is written", async (t) => {
    using place = auditPlace();
    const clock = { nowMs: startedAt };
    const { trail, said } = sceneOf(t, place.key, fileSink(place, clock), { clock });
    assert.equal(await trail.write(access("a")), true);
    renameSync(place.file, `${place.file}.1`);
    assert.equal(await trail.write(access("b")), true);
    assert.deepEqual(
      place.records().map(({ seq }) => seq),
      [3],
    );
    copyFileSync(place.file, `${place.file}.2`);
    renameSync(`${place.file}.2`, place.file);
    assert.equal(await trail.write(access("c")), false);
    assert.match(said.join("\n"), /cannot be written/);
    assert.equal(place.records().length, 1);
  });

  test("of keys are read once as they grow, and again when somebody else has changed them", async () => {
    using place = auditPlace();
    const keys = new FileKeyPlace(place.file, 40 * 86_400_000);
    const file = keyFileOf(place.file, "2026-03");
    const offer = (letter: string): WrappedKey => ({ name: "ann", wrapped: letter.repeat(80) });
    assert.deepEqual(await keys.obtain("2026-03", [offer("a")]), ["a".repeat(80)]);
    // Changed so that nothing but reading shows it.
    const text = readFileSync(file, "utf8");
    const reference = `${file}.times`;
    execFileSync("touch", ["-r", file, reference]);
    writeFileSync(file, text.replaceAll(/[a-z ]/g, " "));
    execFileSync("touch", ["-r", reference, file]);
    assert.deepEqual(await keys.obtain("2026-03", [offer("b")]), ["a".repeat(80)]);
    appendFileSync(file, "\n");
    assert.deepEqual(await keys.obtain("2026-03", [offer("c")]), ["c".repeat(80)]);
  });

  test("whose end is no record are put aside, and the chain says that it begins after them", async (t) => {
    using place = auditPlace();
    writeFileSync(place.file, "garbage\n");
    const clock = { nowMs: startedAt };
    const { trail, said } = sceneOf(t, place.key, fileSink(place, clock), { clock });
    assert.equal(await trail.write(access("a")), true);
    assert.deepEqual(place.records()[0]?.["repaired"], { putAside: true });
    assert.equal((await filesBefore(place.file)).length, 1);
    assert.match(said[0] ?? "", /damaged/);
  });

  test("have their subjects' keys beside them: deleted where they stand, and by month", async (t) => {
    using place = auditPlace();
    const clock = { nowMs: startedAt };
    const keys = new FileKeyPlace(place.file, 40 * 86_400_000);
    const { trail } = sceneOf(t, place.key, fileSink(place, clock), { clock, place: keys });
    for (const user of ["ann", "ben"]) assert.equal(await trail.write(access(user)), true);
    const directory = (): KeyDirectory => new KeyDirectory([place.key], [new FileShelf(place.file)]);
    const who = async (): Promise<(string | undefined)[]> => {
      const open = directory();
      const people = await Promise.all(place.records().map((record) => open.open(record)));
      return people.flatMap((person, at) => (at > 0 ? [person?.userId] : []));
    };
    assert.deepEqual(await who(), ["ann", "ben"]);
    assert.equal(await directory().forget({ userId: "ann", issuer: undefined }), 1);
    assert.deepEqual(await who(), [undefined, "ben"]);
    const before = readFileSync(keyFileOf(place.file, "2026-03"), "utf8");
    clock.nowMs += 61_000;
    for (const user of ["ann", "ben"]) assert.equal(await trail.write(access(user, clock.nowMs)), true);
    assert.deepEqual(await who(), [undefined, "ben", "ann", "ben"]);
    assert.equal(readFileSync(keyFileOf(place.file, "2026-03"), "utf8").length > before.length, true);
    clock.nowMs += 90 * 86_400_000;
    assert.equal(await trail.write(access("ann", clock.nowMs)), true);
    assert.deepEqual(
      readdirSync(place.folder).filter((file) => file.includes(".keys.")),
      ["audit.jsonl.keys.2026-05"],
    );
  });
});

describe("a trail in Redis", () => {
  const { server: startServer, open } = storesOf("audit");

  test("has a batch once, also when the answer to the first try was lost", async () => {
    const server = await startServer();
    const store = open(server.url);
    assert.ok(await store.whenUp(5_000));
    let losesAnswers = true;
    const run: Store["run"] = async (...given) => {
      const answer = await store.run(...given);
      if (losesAnswers) throw new Error("no answer in time");
      return answer;
    };
    const lossy = Object.create(store, { run: { value: run } }) as Store;
    const clock = { now: () => Date.now(), mono: () => performance.now() };
    const sink = new RedisSink({ store: lossy, service: "shop", maxLength: 1_000, retentionMs: 1e9, clock });
    await sink.open("pod-1");
    await assert.rejects(sink.write(["one", "two"], 1));
    losesAnswers = false;
    await sink.write(["one", "two"], 1);
    await sink.write(["three"], 3);
    const entries = await server.cli.xrange(`outrigger:${streamKey("shop")}`, "-", "+");
    assert.deepEqual(
      entries.map(([, fields]) => fields.join(" ")),
      ["chain pod-1 seq 1 line one", "chain pod-1 seq 2 line two", "chain pod-1 seq 3 line three"],
    );
  });

  test("loses nothing to a sidecar whose clock is wrong", async () => {
    const server = await startServer();
    const store = open(server.url);
    assert.ok(await store.whenUp(5_000));
    const writeBy = async (nowMs: number, chain: string): Promise<void> => {
      const clock = { now: () => nowMs, mono: () => performance.now() };
      const sink = new RedisSink({
        store,
        service: "shop",
        maxLength: 10_000,
        retentionMs: 86_400_000,
        clock,
      });
      await sink.open(chain);
      for (const at of [1, 2]) await sink.write(Array.from({ length: 200 }, String), at * 200);
    };
    await writeBy(Date.now(), "pod-1");
    await writeBy(Date.parse("2099-01-01"), "pod-2");
    await writeBy(0, "pod-3");
    assert.equal(await server.cli.xlen(`outrigger:${streamKey("shop")}`), 1_200);
    // Those that are too old go.
    const old = Array.from({ length: 200 }, (_, at) =>
      server.cli.xadd("outrigger:audit:old", `1-${at + 1}`, "chain", "x"),
    );
    await Promise.all(old);
    const clock = { now: () => 0, mono: () => performance.now() };
    const sink = new RedisSink({ store, service: "old", maxLength: 1_000, retentionMs: 86_400_000, clock });
    await sink.write(["one"], 1);
    assert.ok((await server.cli.xlen("outrigger:audit:old")) < 200);
  });

  test("shows signed heads alone; one whose end was removed says so when it goes on", async (t) => {
    const server = await startServer();
    const store = open(server.url);
    assert.ok(await store.whenUp(5_000));
    using place = auditPlace();
    const heads = new HeadBoard(store, "shop", 1e9, [place.key]);
    const clock = { nowMs: startedAt };
    const first = sceneOf(t, place.key, fileSink(place, clock), { clock, heads });
    assert.equal(await first.trail.write(access("a")), true);
    await first.trail.close(1_000);
    const board = `outrigger:${headsKey("shop", "2026-03")}`;
    const own = await server.cli.hget(board, "pod-1");
    const stranger = new AuditKey(auditJwk());
    await new HeadBoard(store, "shop", 1e9, [stranger]).show(
      { chain: "pod-3", seq: 9, hash: "h".repeat(43) },
      startedAt,
    );
    await server.cli.hset(board, "pod-2", own ?? "", "pod-4", `${startedAt} 9 ${"h".repeat(43)}`);
    assert.deepEqual(
      (await heads.seen("pod-9", startedAt)).map(([chain]) => chain),
      ["pod-1"],
    );
    assert.deepEqual(
      (await shownHeads(store, "shop", new HeadVerifier([place.key.publicKey]))).map(({ chain }) => chain),
      ["pod-1"],
    );
    // The sidecar begins again where somebody cut the end off, and writes more than there was.
    writeFileSync(place.file, `${readFileSync(place.file, "utf8").split("\n").slice(0, 1).join("\n")}\n`);
    const second = sceneOf(t, place.key, fileSink(place, clock), { clock, heads });
    for (const path of ["b", "c", "d"]) assert.equal(await second.trail.write(access(path)), true);
    await second.trail.close(1_000);
    assert.match(second.said.join(), /ends before the last head that this sidecar has shown/);
    assert.match(
      (await verified(place)).findings[0]?.problem ?? "",
      /record 3 is not the one that record 2 of pod-1 has seen/,
    );
  });
});
