// `outrigger policy` and `outrigger fleet` as a user runs them: processes, a real Redis, real sidecars.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { mainFile, outrigger, startNode } from "../support/process.ts";
import { eventually, freePort, type RedisServer, startCluster, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-plane-"));
after(() => rmSync(folder, { recursive: true }));
let count = 0;
function file(policy: string | Readonly<Record<string, unknown>>, ending = "json"): string {
  const path = join(folder, `policy-${++count}.${ending}`);
  writeFileSync(
    path,
    typeof policy === "string" ? policy : JSON.stringify({ apiVersion: "outrigger/v1", ...policy }),
  );
  return path;
}
const marked = (mark: string) => ({
  plugins: ["transform"],
  pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
});

interface Receipts {
  readonly converged: boolean;
  readonly concerned: number;
  readonly inForce: number;
  readonly ms: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly refused: readonly { readonly instance: string; readonly problems: readonly string[] }[];
  readonly late: readonly string[];
}
interface Applied {
  readonly revision: number;
  readonly unchanged: boolean;
  readonly changes: readonly { readonly op: string; readonly path: string }[];
  readonly receipts: Receipts;
}
interface Shown {
  readonly revisions: readonly {
    readonly revision: number;
    readonly kind: string;
    readonly author: string;
    readonly reason: string;
    readonly reporter: string | null;
  }[];
}

for (const where of ["alone", "in a Cluster"]) {
  describe(`a fleet, with Redis ${where}`, () => {
    let redis: {
      readonly url: string;
      readonly cli: RedisServer["cli"] | Awaited<ReturnType<typeof startCluster>>["cli"];
      close(): Promise<void>;
    };
    const sidecars: TestSidecar[] = [];
    const run = (...args: string[]) => outrigger(args, { REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "ada" });
    const json = async <Result>(...args: string[]): Promise<Result> => {
      const { stdout, stderr } = await run(...args, "--json");
      assert.notEqual(stdout, "", stderr);
      return JSON.parse(stdout) as Result;
    };
    before(async () => {
      redis = await (where === "alone" ? startRedis() : startCluster());
      assert.equal((await run("policy", "apply", file(marked("first")), "--reason", "to begin")).code, 0);
      for (const [service, instance] of [
        ["orders", "o1"],
        ["orders", "o2"],
        ["users", "u1"],
      ] as const) {
        sidecars.push(
          await startSidecar({
            upstream: (_request, response) => response.end("ok"),
            redisUrl: redis.url,
            env: { OUTRIGGER_SERVICE: service, OUTRIGGER_INSTANCE: instance, OUTRIGGER_REGION: "eu" },
          }),
        );
      }
      await eventually("all are in the fleet", async () => {
        const { sidecars: seen } = await json<{ sidecars: unknown[] }>("fleet");
        return seen.length === 3;
      });
    });
    after(async () => {
      await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
      await redis.close();
    });

    test("apply --wait returns when every sidecar has it in force, and says how long that took", async () => {
      const { revision, receipts } = await json<Applied>("policy", "apply", file(marked("second")), "--wait");
      assert.equal(revision, 2);
      const { ms, ...rest } = receipts;
      assert.deepEqual(rest, {
        converged: true,
        concerned: 3,
        inForce: 3,
        refused: [],
        late: [],
        namesakes: [],
        gone: [],
        left: [],
        unreadable: [],
        unanswered: null,
      });
      assert.ok(ms.p50 <= ms.p99 && ms.p99 <= ms.max && ms.max < 5_000, JSON.stringify(ms));
      for (const { url } of sidecars) assert.equal((await fetch(url)).headers.get("x-mark"), "second");
    });

    test("a layer concerns its service alone; deleted by a rollback it is gone", async () => {
      const layer = file({ pluginConfig: { transform: { addResponseHeaders: { "x-layer": "1" } } } });
      const applied = await json<Applied>("policy", "apply", layer, "--service", "orders", "--wait");
      assert.deepEqual([applied.receipts.converged, applied.receipts.concerned], [true, 2]);
      const shown = await json<{ fields: { path: string; from: string }[] }>(
        "policy",
        "show",
        "--effective",
        "--service",
        "orders",
      );
      const from = (path: string) => shown.fields.find((field) => field.path === path)?.from;
      assert.equal(from("pluginConfig.transform.addResponseHeaders.x-layer"), "layer");
      assert.equal(from("pluginConfig.transform.addResponseHeaders.x-mark"), "shared");
      await redis.cli.del("outrigger:policy:orders");
      assert.equal(
        (await json<Shown>("policy", "history", "--service", "orders")).revisions[0]?.kind,
        "direct",
      );
      assert.equal((await run("policy", "rollback", "1", "--service", "orders")).code, 0);
      const back = await run("policy", "rollback", "2", "--service", "orders", "--wait");
      assert.equal(back.code, 0, back.stderr);
      assert.equal(await redis.cli.get("outrigger:policy:orders"), null);
    });

    test("whoever refuses it is named with every problem: exit 1, and the one before stays", async () => {
      // An upstream that this command may name and these sidecars may not.
      const path = file({
        ...marked("third"),
        routes: [{ path: "/*", upstream: "http://elsewhere.example:80" }],
      });
      const before = await json<Shown>("policy", "history");
      const { code, stdout } = await outrigger(["policy", "apply", path, "--wait", "8s", "--json"], {
        REDIS_URL: redis.url,
        OUTRIGGER_UPSTREAM_ALLOW: "elsewhere.example:80",
      });
      assert.equal(code, 1);
      const { receipts } = JSON.parse(stdout) as Applied;
      assert.deepEqual([receipts.converged, receipts.inForce, receipts.refused.length], [false, 0, 3]);
      assert.match(receipts.refused[0]?.problems[0] ?? "", /routes\[0\]\.upstream/);
      const table = await run("fleet");
      assert.equal(table.stdout.split("\n").filter((line) => /routes\[0\]\.upstream/.test(line)).length, 3);
      const back = await run("policy", "rollback", "--wait");
      assert.equal(back.code, 0, back.stderr);
      const { revisions } = await json<Shown>("policy", "history");
      assert.equal(revisions.length, before.revisions.length + 2);
      assert.equal(revisions[0]?.kind, "rollback");
    });

    test("a plain SET is enough, and is in the history even when the next comes before anybody looks", async () => {
      assert.equal((await run("policy", "apply", file(marked("by-command")), "--wait")).code, 0);
      const last = (await json<Shown>("policy", "history")).revisions[0]?.revision ?? 0;
      const [one] = sidecars as [TestSidecar];
      const set = async (mark: string): Promise<void> => {
        await redis.cli.set("outrigger:policy", readFileSync(file(marked(mark))));
        await eventually(
          `${mark} is in force`,
          async () => (await fetch(one.url)).headers.get("x-mark") === mark,
        );
      };
      await set("by-hand-1");
      await eventually("a sidecar tells", async () => (await redis.cli.hlen("outrigger:direct")) === 1);
      await set("by-hand-2");
      const { revisions } = await json<Shown>("policy", "history");
      assert.deepEqual(
        revisions.slice(0, 3).map(({ revision, kind }) => [revision - last, kind]),
        [
          [2, "direct"],
          [1, "direct"],
          [0, "apply"],
        ],
      );
      assert.match(revisions[1]?.reporter ?? "", /^(orders|users)\/[ou]\d$/);
      const refused = await run("policy", "rollback");
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /by the word of .* alone: read it \(policy show --revision \d+\)/);
      assert.equal((await run("policy", "rollback", "--accept-reported", "--wait")).code, 0);
      assert.equal((await fetch(one.url)).headers.get("x-mark"), "by-hand-1");
    });

    test("a kill switch and its history are written at once", async () => {
      const off = await run("plugins", "disable", "cache", "--reason", "stale", "--service", "orders");
      assert.equal(off.code, 0, off.stderr);
      const on = await run("plugins", "enable", "cache", "--reason", "mended", "--service", "orders");
      assert.equal(on.code, 0, on.stderr);
      const { history } = await json<{ history: { act: string; reason: string }[] }>(
        "plugins",
        "list",
        "--history",
      );
      assert.deepEqual(
        history.map(({ act, reason }) => `${act} ${reason}`),
        ["enable mended", "disable stale"],
      );
    });

    test("one that vanished is listed as lost, one that left is not", async () => {
      const [seconds] = await redis.cli.time();
      await redis.cli.zadd("outrigger:live:users", (Number(seconds) - 120) * 1_000, "ghost");
      const { sidecars: seen } = await json<{
        sidecars: { instance: string; state: string; region: string; bypass: { state: string } | null }[];
      }>("fleet");
      assert.equal(seen[0]?.bypass?.state, "closed");
      assert.deepEqual(
        seen.map(({ instance, state }) => `${instance} ${state}`),
        ["o1 live", "o2 live", "ghost lost", "u1 live"],
      );
      const { stdout } = await run("fleet");
      assert.match(stdout, /^users +ghost .* lost 2m ago/m);
      assert.match(stdout, /^orders +o1 +eu +\d+ /m);
      await redis.cli.zrem("outrigger:live:users", "ghost");
    });
  });
}

describe("files and what they change", () => {
  let redis: RedisServer;
  const run = (...args: string[]) => outrigger(args, { REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "ada" });
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.close());

  test("YAML goes in as JSON, and that its comments stay behind is said", async () => {
    const path = file(
      'apiVersion: outrigger/v1\n# why\nplugins: [logging]\npluginConfig: { logging: { level: "info" } } # x\n',
      "yaml",
    );
    const { code, stderr } = await run("policy", "apply", path);
    assert.equal(code, 0);
    assert.match(stderr, /comments stay in the file/);
    const plain = file(
      'apiVersion: outrigger/v1\nplugins: [logging, cors]\nroutes: [{ path: "/a/*" }]\n',
      "yaml",
    );
    assert.doesNotMatch((await run("policy", "apply", plain)).stderr, /comments/);
    assert.deepEqual(
      (JSON.parse((await redis.cli.get("outrigger:policy")) ?? "") as { plugins: unknown }).plugins,
      ["logging", "cors"],
    );
  });

  test("diff and --dry-run show routes by path, options by name, without colours, and write nothing", async () => {
    await run("policy", "apply", file({ routes: [{ path: "/a/*", timeout: 1000 }, { path: "/b/*" }] }));
    const raised = await redis.cli.get("outrigger:epoch");
    const path = file({ routes: [{ path: "/b/*" }, { path: "/c/*" }, { path: "/a/*", timeout: 2000 }] });
    for (const args of [
      ["policy", "diff", path],
      ["policy", "apply", "--dry-run", path],
    ]) {
      const { code, stdout } = await run(...args);
      assert.equal(code, 0);
      assert.equal(stdout, '+ routes[/c/*]: {"path":"/c/*"}\n~ routes[/a/*].timeout: 1000 -> 2000\n');
    }
    assert.equal(await redis.cli.get("outrigger:epoch"), raised);
  });

  test("validate, apply, show and history name a document by the same digest", async () => {
    const path = file("apiVersion: outrigger/v1\nplugins: [logging, transform]\n", "yaml");
    const validated = /document sha256 ([0-9a-f]{64}), effective/.exec(
      (await run("policy", "validate", path)).stdout,
    );
    const digest = validated?.[1] ?? "none";
    assert.match((await run("policy", "apply", path)).stdout, new RegExp(`, document sha256 ${digest}\n`));
    assert.match((await run("policy", "show")).stderr, new RegExp(`, document sha256 ${digest}\n`));
    assert.match((await run("policy", "history")).stdout, new RegExp(` sha256 ${digest.slice(0, 12)}\n`));
    assert.match(
      (await run("check")).stdout,
      new RegExp(`, document sha256 ${digest.slice(0, 12)}…, effective`),
    );
  });

  test("what is SET is in the history with when it was seen; show and diff write nothing", async () => {
    await run("policy", "apply", file(marked("before")));
    const epoch = Number(await redis.cli.get("outrigger:epoch"));
    const byHand = file(marked("by hand"));
    await redis.cli.set("outrigger:policy", readFileSync(byHand));
    const { stderr } = await run("policy", "show");
    assert.match(
      stderr,
      new RegExp(`^policy, SET past the history \\(after revision ${epoch}\\), document sha256 `),
    );
    assert.equal((JSON.parse((await run("policy", "show", "--json")).stdout) as Applied).revision, null);
    await run("policy", "diff", byHand);
    assert.equal(await redis.cli.get("outrigger:epoch"), String(epoch));
    const { stdout } = await run("policy", "history");
    assert.match(stdout, new RegExp(`^${epoch + 1} +seen 20\\S+Z +direct `, "m"));
    assert.match(stdout, new RegExp(`^${epoch} +20\\S+Z +apply `, "m"));
    assert.match((await run("policy", "show")).stderr, new RegExp(`^policy, revision ${epoch + 1}, `));
  });

  test("the second of two operators is told who was first", async () => {
    const first = await run("policy", "apply", file(marked("one")), "--json");
    const { revision } = JSON.parse(first.stdout) as Applied;
    await outrigger(["policy", "apply", file(marked("two")), "--author", "eve", "--reason", "urgent"], {
      REDIS_URL: redis.url,
    });
    const { code, stderr } = await run("policy", "apply", file(marked("three")), "--base", String(revision));
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^policy is at revision ${revision + 1}, not ${revision}: by eve at 20`));
    assert.equal(stderr.trim().split("\n").length, 1);
  });

  test("what is refused is not written, with every problem in the file's name", async () => {
    const held = await redis.cli.get("outrigger:policy");
    const { code, stderr } = await run("policy", "apply", file({ plugins: ["nope"], routez: [] }));
    assert.equal(code, 1);
    assert.match(stderr, /^\S+policy-\d+\.json, line 1.*unknown/);
    assert.equal((await run("policy", "apply", join(folder, "none.json"))).code, 1);
    const long = file(JSON.stringify({ apiVersion: "outrigger/v1", x: "y".repeat(10_000_000) }));
    const tooLong = await run("policy", "apply", long);
    assert.equal(tooLong.code, 1);
    assert.match(tooLong.stderr, /at most 1048576/);
    const bomb = `apiVersion: outrigger/v1\na: &a [${"x,".repeat(500)}]\nb: &b [${"*a,".repeat(100)}]\nc: [${"*b,".repeat(100)}]\n`;
    assert.equal((await run("policy", "apply", file(bomb, "yaml"))).code, 1);
    assert.equal(await redis.cli.get("outrigger:policy"), held);
  });
});

describe("when Redis does not help", () => {
  const policy = file(marked("x"));
  const all = [
    ["policy", "apply", policy],
    ["policy", "history"],
    ["policy", "rollback"],
    ["policy", "show"],
    ["policy", "diff", policy],
    ["fleet"],
  ];

  test("not set, not there, not let in: one line each", async (t) => {
    const redis = await startRedis({ args: ["--requirepass", "secret"] });
    t.after(() => redis.close());
    const gone = `redis://127.0.0.1:${await freePort()}`;
    const wrong = redis.url.replace("//", "//:hunter2@");
    const tries = [
      ...all.map((args) => [args, gone] as const),
      [["policy", "apply", policy], wrong] as const,
    ];
    await Promise.all([
      ...all.map(async (args) => assert.equal((await outrigger(args)).code, 2, args.join(" "))),
      ...tries.map(async ([args, url]) => {
        const { code, stdout, stderr } = await outrigger(args, { REDIS_URL: url });
        const lines = stderr.trim().split("\n").length;
        assert.deepEqual([code, stdout, lines], [1, "", 1], `${args.join(" ")}: ${stderr}`);
        assert.match(stderr, /^REDIS_URL: /);
        assert.doesNotMatch(stderr, /hunter2/);
      }),
    ]);
  });

  test("a user without the right, and a replica that may not be written", async (t) => {
    const redis = await startRedis();
    t.after(() => redis.close());
    await redis.cli.call(
      "ACL",
      "SETUSER",
      "weak",
      "on",
      ">pass",
      "~*",
      "+@read",
      "+@connection",
      "+evalsha",
      "+eval",
    );
    const weak = await outrigger(["policy", "apply", policy], {
      REDIS_URL: redis.url.replace("//", "//weak:pass@"),
    });
    assert.deepEqual([weak.code, weak.stdout], [1, ""]);
    assert.match(weak.stderr, /NOPERM: this user lacks \+set: use the operator of/);
    const replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] });
    t.after(() => replica.close());
    await eventually("the replica follows", async () =>
      /master_link_status:up/.test(await replica.cli.info("replication")),
    );
    const { code, stderr } = await outrigger(["policy", "apply", policy], { REDIS_URL: replica.url });
    assert.equal(code, 1);
    assert.match(stderr, /READONLY: it is a read-only replica: name the master/);
    assert.equal(await redis.cli.exists("outrigger:policy"), 0);
    await redis.cli.set("outrigger:policy", "{}");
    await eventually("the replica has it", async () => (await replica.cli.exists("outrigger:policy")) === 1);
    const shown = await outrigger(["policy", "show"], { REDIS_URL: replica.url });
    assert.deepEqual([shown.code, shown.stdout], [0, "{}\n"]);
  });

  test("a closed pipe is no fault; Ctrl-C ends a wait with 130, and what was applied stays", async (t) => {
    const redis = await startRedis();
    t.after(() => redis.close());
    const sidecar = await startSidecar({
      upstream: (_request, response) => response.end("ok"),
      redisUrl: redis.url,
      env: { OUTRIGGER_INSTANCE: "one" },
    });
    t.after(() => sidecar.stop());
    await eventually(
      "it is in the fleet",
      async () => (await redis.cli.zcard("outrigger:live:default")) === 1,
    );
    // It is alive by its heartbeat and never has the policy.
    await redis.cli.set("outrigger:fleet:default:late", JSON.stringify({ version: "0.0.1" }));
    const [seconds] = await redis.cli.time();
    await redis.cli.zadd("outrigger:live:default", (Number(seconds) + 60) * 1_000, "late");
    const waiting = startNode([mainFile, "policy", "apply", policy, "--wait=60s"], { REDIS_URL: redis.url });
    await waiting.said("is now at revision 1");
    // Once it has looked at the fleet it asks for the heartbeat of the one that is late again and again.
    const looks = async (): Promise<number> =>
      Number(/cmdstat_strlen:calls=(\d+)/.exec(await redis.cli.info("commandstats"))?.[1] ?? 0);
    const before = await looks();
    await eventually("it has looked several times", async () => (await looks()) > before + 3);
    waiting.child.kill("SIGINT");
    const { code, stderr } = await waiting.end;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /default\/late does not have it yet\n/);
    assert.match(stderr, /revision 1 stays where it is/);
    assert.notEqual(await redis.cli.get("outrigger:policy"), null);

    const piped = startNode([mainFile, "fleet", "--watch", "--json"], { REDIS_URL: redis.url });
    await once(piped.child.stdout, "data");
    piped.child.stdout.destroy();
    assert.equal((await piped.end).code, 0);
  });
});
