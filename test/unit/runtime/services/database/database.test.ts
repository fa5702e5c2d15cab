// The database of plugins, on a real PostgreSQL: what it does, what its limits are, and what it reports if the server
// is slow, full, frozen or gone.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DatabaseError, type DatabaseValue } from "../../../../../src/plugin-api/services.ts";
import {
  type DatabaseOptions,
  PostgresDatabase,
} from "../../../../../src/runtime/services/database/database.ts";
import { createMetrics } from "../../../../../src/telemetry/metrics.ts";
import { TestClock } from "../../../../../src/testing/clock.ts";
import { password, type PostgresServer, startPostgres } from "../../../../support/postgres.ts";
import { eventually } from "../../../../support/redis.ts";

let server: PostgresServer;
let watcher: PostgresDatabase;
before(async () => {
  server = await startPostgres();
  watcher = make({ plugin: "watcher" });
  await watcher.query("CREATE TABLE people (id int PRIMARY KEY, name text UNIQUE)");
});
after(async () => {
  watcher.close();
  await server.close();
});

const clock = new TestClock();
let metrics = createMetrics({ service: "test" });
const opened: PostgresDatabase[] = [];
beforeEach(() => (metrics = createMetrics({ service: "test" })));
afterEach(() => opened.splice(0).forEach((each) => each.close()));

function make(options: Partial<DatabaseOptions> = {}): PostgresDatabase {
  return new PostgresDatabase({
    plugin: "geo",
    secret: "SECRET_GEO_DB",
    url: () => server.url,
    maxConnections: 3,
    maxWaiting: 5,
    metrics,
    clock,
    ...options,
  });
}

function open(options: Partial<DatabaseOptions> = {}): PostgresDatabase {
  const made = make(options);
  opened.push(made);
  return made;
}
const failed = (reason: string, message: RegExp): object => ({ name: "DatabaseError", reason, message });
/** Of the database that is tested, by one that is not. */
const connections = async (): Promise<number> => {
  const { rows } = await watcher.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'outrigger-geo'",
  );
  return rows[0]?.["n"] as number;
};

describe("queries", () => {
  it("take values beside their text, and give rows by name", async () => {
    const db = open();
    const values: [string, DatabaseValue, unknown][] = [
      ["text", "O'Brien; DROP TABLE people", "O'Brien; DROP TABLE people"],
      ["int", 7, 7],
      ["bigint", 2n ** 60n, "1152921504606846976"],
      ["bool", true, true],
      ["text", null, null],
      ["int[]", [1, 2], [1, 2]],
      ["bytea", Buffer.from([0, 255]), Buffer.from([0, 255])],
      ["timestamptz", new Date(0), new Date(0)],
      ["jsonb", '{"a":1}', { a: 1 }],
    ];
    for (const [type, value, expected] of values) {
      const { rows, rowCount } = await db.query(`SELECT $1::${type} AS value`, [value]);
      assert.deepEqual([rows[0]?.["value"], rowCount], [expected, 1], type);
    }
    for (const value of [undefined, {}, () => 1, [undefined]])
      await assert.rejects(
        db.query("SELECT $1", [value as unknown as string]),
        /\$1 of the query is no value/,
      );
    assert.deepEqual(await db.query("UPDATE people SET name = name WHERE false"), { rows: [], rowCount: 0 });
  });

  it("are one statement, also without values", async () => {
    const db = open();
    await assert.rejects(
      db.query("SELECT 1; DROP TABLE people"),
      failed("refused", /syntax error \(SQLSTATE 42601\)/),
    );
    assert.equal((await db.query("SELECT 1 AS one")).rows.length, 1);
  });

  it("have so many rows and bytes at most", async () => {
    const db = open({ maxConnections: 1 });
    assert.equal((await db.query("SELECT generate_series(1, 10)", [], { maxRows: 10 })).rows.length, 10);
    const tooMany = failed("too_large", /more than 10 rows/);
    await assert.rejects(db.query("SELECT generate_series(1, 100000000)", [], { maxRows: 10 }), tooMany);
    await assert.rejects(
      db.query("SELECT generate_series(1, 1001)"),
      failed("too_large", /more than 1000 rows/),
    );
    assert.equal((await db.query("SELECT 1 AS one")).rows[0]?.["one"], 1);
    const large = db.query("SELECT repeat('x', 30000000)");
    await assert.rejects(large, failed("too_large", /more than 8388608 bytes/));
    assert.equal((await db.query("SELECT 1 AS one")).rows[0]?.["one"], 1);
  });

  it("change nothing where they only read", async () => {
    const db = open();
    const insert = "INSERT INTO people VALUES (1, 'Ann') RETURNING id";
    await assert.rejects(db.query(insert, [], { readOnly: true }), failed("refused", /read-only.*25006/));
    assert.equal((await db.query("SELECT 1 AS one", [], { readOnly: true })).rows[0]?.["one"], 1);
    assert.equal((await db.query("SELECT * FROM people")).rowCount, 0);
  });

  it("say what is wrong without values, address or password", async () => {
    const db = open();
    await db.query("INSERT INTO people VALUES (10, 'secret-name')");
    const failures = [
      db.query("INSERT INTO people VALUES ($1, $2)", [11, "secret-name"]),
      db.query("SELECT $1::int", ["secret-number"]),
      db.query("SELECT 'secret-text'::int"),
      db.query("SELECT secret FROM nowhere"),
    ];
    const errors = await Promise.all(failures.map((each) => each.catch((error: unknown) => error)));
    for (const error of errors) {
      assert.ok(error instanceof DatabaseError);
      assert.doesNotMatch(`${error.message} ${error.stack} ${JSON.stringify(error)}`, /secret/);
      assert.equal(error.cause, undefined);
    }
    const { code, constraint, message } = errors[0] as DatabaseError;
    assert.deepEqual([code, constraint], ["23505", "people_name_key"]);
    assert.equal(message, "database: unique violation (SQLSTATE 23505), constraint people_name_key");
    await db.query("DELETE FROM people");
    const wrong = server.url.replace(encodeURIComponent(password), "wrong-secret");
    const refused = await open({ url: () => wrong })
      .query("SELECT 1")
      .catch((error: unknown) => error);
    assert.equal((refused as Error).message, "database: invalid password (SQLSTATE 28P01)");
  });
});

describe("transactions", () => {
  const insert = "INSERT INTO people VALUES ($1, $2)";

  it("are done whole, or not at all", async () => {
    const db = open();
    const result = await db.transaction(async (transaction) => {
      await Promise.all([1, 2].map((id) => transaction.query(insert, [id, `n${id}`])));
      return "done";
    });
    assert.equal(result, "done");
    const changed = (work: Parameters<typeof db.transaction>[0]): Promise<unknown> => db.transaction(work);
    await assert.rejects(
      changed(async (transaction) => {
        await transaction.query(insert, [3, "n3"]);
        throw new Error("changed its mind");
      }),
      /changed its mind/,
    );
    // A failure that the work keeps to itself.
    await assert.rejects(
      changed(async (transaction) => {
        await transaction.query(insert, [4, "n4"]);
        await transaction.query(insert, [1, "twice"]).catch(() => {});
      }),
      failed("refused", /was rolled back/),
    );
    await assert.rejects(
      db.transaction((transaction) => transaction.query(insert, [5, "n5"]), { readOnly: true }),
      failed("refused", /read-only/),
    );
    assert.deepEqual(
      (await db.query("SELECT id FROM people ORDER BY id")).rows.map(({ id }) => id),
      [1, 2],
    );
    await db.query("DELETE FROM people");
  });

  it("end at their limit, whatever the work waits for, and take nothing more then", async () => {
    const db = open({ maxConnections: 1 });
    const gate = Promise.withResolvers<void>();
    let late: Promise<unknown> | undefined;
    const asked = db.transaction(
      async (transaction) => {
        await transaction.query(insert, [1, "n1"]);
        await gate.promise;
        late = transaction.query(insert, [2, "n2"]);
        await late;
      },
      { timeoutMs: 200 },
    );
    await assert.rejects(asked, failed("timeout", /no result within 200 ms/));
    assert.equal((await db.query("SELECT * FROM people")).rowCount, 0);
    gate.resolve();
    await eventually("the work went on", () => late !== undefined);
    await assert.rejects(late as Promise<unknown>, { name: "DatabaseError" });
    assert.equal((await db.query("SELECT * FROM people")).rowCount, 0);
  });

  it("are begun by transaction() alone", async () => {
    const db = open({ maxConnections: 1 });
    await assert.rejects(db.query("BEGIN"), failed("refused", /begun by transaction\(\)/));
    await db.query(insert, [1, "n1"]);
    assert.equal((await open().query("SELECT * FROM people")).rowCount, 1);
    let kept: Parameters<Parameters<typeof db.transaction>[0]>[0] | undefined;
    await db.transaction(async (transaction) => void (kept = transaction));
    await assert.rejects(kept?.query("SELECT 1") as Promise<unknown>, failed("refused", /is over/));
    await db.query("DELETE FROM people");
  });
});

describe("bounds", () => {
  it("a slow query is ended by the server, and its connection goes on", async () => {
    const db = open({ maxConnections: 1 });
    const backend = async (): Promise<unknown> =>
      (await db.query("SELECT pg_backend_pid() AS pid")).rows[0]?.["pid"];
    const before = await backend();
    const slow = db.query("SELECT pg_sleep(10)", [], { timeoutMs: 300 });
    await assert.rejects(slow, failed("timeout", /took too long \(SQLSTATE 57014\)/));
    assert.equal(await backend(), before);
    const ended = db.query("SELECT pg_sleep(10)", [], { signal: AbortSignal.timeout(100) });
    await assert.rejects(ended, failed("aborted", /ended by its caller/));
    assert.match(await metrics.render(), /db_queries_total\{.*plugin="geo",result="timeout"\} 1/);
    assert.match(await metrics.render(), /db_queries_total\{.*plugin="geo",result="aborted"\} 1/);
    assert.match(await metrics.render(), /db_duration_seconds_count\{.*plugin="geo"\} [1-9]/);
  });

  it("connections are few, callers that wait for one bounded, and their wait counts", async () => {
    const db = open({ maxConnections: 2, maxWaiting: 6 });
    const sleepers = [1, 2].map(() => db.query("SELECT pg_sleep(0.6)"));
    await eventually("both are taken", async () => (await connections()) >= 2);
    const waiting = Array.from({ length: 6 }, () => db.query("SELECT 1", [], { timeoutMs: 100 }));
    await sleep(10);
    const refused = {
      name: "QuotaExceeded",
      quota: "database_waiting",
      message: /over its quota of 6 callers that wait for a connection/,
    };
    await assert.rejects(db.query("SELECT 1"), refused);
    const all = waiting.map((one) => assert.rejects(one, failed("timeout", /no result within 100 ms/)));
    await Promise.all(all);
    // The wait was nobody's fault but the callers' own: the server is asked on.
    assert.equal((await db.query("SELECT 1 AS one")).rowCount, 1);
    await Promise.all(sleepers);
    assert.match(await metrics.render(), /quota_refusals_total\{.*quota="database_waiting"\} 1/);
    assert.match(await metrics.render(), /db_connections\{.*plugin="geo"\} 2/);
  });

  it("all connections go with the plugin, and what is under way", async () => {
    const db = open();
    await db.query("SELECT 1");
    const slow = db.query("SELECT pg_sleep(1)");
    await eventually("it is under way", async () => (await connections()) >= 1);
    db.close();
    await assert.rejects(slow, { name: "DatabaseError" });
    await assert.rejects(db.query("SELECT 1"), /plugin "geo" is closed/);
    await eventually("none is left", async () => (await connections()) === 0);
    db.open();
    assert.equal((await db.query("SELECT 1 AS one")).rowCount, 1);
  });
});

describe("a server that is away", () => {
  it("frozen: callers wait their time, then no more, and it is found again", async () => {
    const db = open({ maxConnections: 5 });
    await db.query("SELECT 1");
    server.freeze();
    try {
      const asked = Array.from({ length: 5 }, () => db.query("SELECT 1", [], { timeoutMs: 200 }));
      const all = asked.map((one) => assert.rejects(one, failed("timeout", /no result within 200 ms/)));
      await Promise.all(all);
      await assert.rejects(db.query("SELECT 1"), failed("breaker_open", /not asked/));
    } finally {
      server.thaw();
    }
    clock.advance(2_000);
    await eventually("it answers again", async () => {
      clock.advance(30_000);
      return await db.query("SELECT 1", [], { timeoutMs: 1_000 }).then(
        () => true,
        () => false,
      );
    });
  });

  it("killed: what was under way fails, idle connections are left, and it is found again", async () => {
    const db = open();
    await Promise.all([1, 2].map(() => db.query("SELECT 1")));
    const slow = db.query("SELECT pg_sleep(10)");
    await eventually("it is under way", async () => (await connections()) >= 2);
    const fails = assert.rejects(slow, failed("connection", /connection/));
    await server.kill();
    await fails;
    await assert.rejects(db.query("SELECT 1"), failed("connection", /connection/));
    for (let i = 0; i < 5; i += 1) await db.query("SELECT 1").catch(() => {});
    await assert.rejects(db.query("SELECT 1"), failed("breaker_open", /not asked/));
    await server.restart();
    clock.advance(2_000);
    assert.equal((await db.query("SELECT 1 AS one")).rowCount, 1);
  });
});

describe("its URL", () => {
  it("is a secret's, read strictly, and shown nowhere", async () => {
    const bad = [
      "",
      "mysql://u:secret@h/d",
      "postgres://h/d",
      "postgres://u:secret@h",
      "postgres://u:secret@h/d?sslmode=require",
      "postgres://u:secret@h/d?sslmode=disable&sslrootcert=/secret.pem",
      "postgres://u:secret@h/d?options=-c%20secret",
      "postgres://u:secret@h/d?sslmode=verify-full&sslrootcert=/no/secret.pem",
      "postgres://u:%zz@h/d",
    ];
    for (const url of bad) {
      const db = open({ url: () => url });
      const expected = (error: unknown): boolean => {
        assert.ok(error instanceof DatabaseError && error.reason === "not_usable", url);
        assert.doesNotMatch(String(error.stack), /u:secret|secret\.pem|%zz/);
        return true;
      };
      assert.throws(() => db.check(), expected);
      await assert.rejects(db.query("SELECT 1"), expected);
    }
    const unset = open({ url: () => undefined });
    assert.throws(() => unset.check(), /OUTRIGGER_SECRET_GEO_DB.*is not set/);
    const undeclared = open({ secret: undefined });
    undeclared.check();
    await assert.rejects(undeclared.query("SELECT 1"), {
      name: "NotDeclared",
      message: 'plugin "geo" uses a database, which its definition does not declare (needs.database)',
    });
    const test = open({ isTest: true, url: () => undefined });
    test.check();
    await assert.rejects(test.query("SELECT 1"), /tests of a policy ask nobody/);
  });

  it("may change: new connections go to the new one", async () => {
    let url = server.url;
    const db = open({ url: () => url });
    await db.query("SELECT 1");
    url = server.url.replace("/postgres", "/template1");
    assert.equal((await db.query("SELECT current_database() AS name")).rows[0]?.["name"], "template1");
    await eventually("the old ones are closed", async () => (await connections()) === 1);
  });

  it("may be of a socket, or with TLS that is verified", async () => {
    const tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    const { port, socketFolder, certificateFile } = server;
    const user = `geo:${encodeURIComponent(password)}`;
    const socket = `postgres://${user}@localhost:${port}/postgres?host=${encodeURIComponent(socketFolder)}`;
    assert.equal((await open({ url: () => socket }).query(tls)).rows[0]?.["ssl"], false);
    const verified = `${server.url.replace("127.0.0.1", "localhost")}?sslmode=verify-full`;
    const trusted = `${verified}&sslrootcert=${encodeURIComponent(certificateFile)}`;
    assert.equal((await open({ url: () => trusted }).query(tls)).rows[0]?.["ssl"], true);
    await assert.rejects(open({ url: () => verified }).query(tls), failed("connection", /SELF_SIGNED/));
  });
});
