// Policy canaries as operators use them: commands against a real Redis, and fleets of real sidecars that decide the
// candidate's outcome by themselves.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as wait } from "node:timers/promises";
import { after, afterEach, before, describe, test } from "node:test";
import { RequestSigner } from "../plugins/auth/request-signer.ts";
import { startCrew, startService, type TestCrew } from "../support/crew.ts";
import { mainFile, outrigger, startNode } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const marked = (mark: string, more: object = {}) => ({
  apiVersion: "outrigger/v1",
  plugins: ["transform"],
  pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  ...more,
});
const callers = Array.from({ length: 30 }, (_, i) => ({
  sha256: createHash("sha256").update(`key-${i}`).digest("hex"),
  id: `k${i}`,
  userId: `user-${i % 15}`,
}));
const keyed = (mark: string) => {
  const { pluginConfig, ...rest } = marked(mark);
  const auth = { required: false, apiKeys: { keys: callers } };
  return { ...rest, plugins: ["auth", "transform"], pluginConfig: { ...pluginConfig, auth } };
};
const base = keyed("base");
const good = keyed("good");
/** Nobody listens there. */
const bad = marked("bad", { routes: [{ path: "/bad/*", upstream: "http://127.0.0.1:1" }] });
const service: http.RequestListener = ({ url }, response) => {
  if (url === "/gone") response.statusCode = 404;
  if (url === "/kept" || url === "/gone") response.setHeader("cache-control", "public, max-age=600");
  response.end("ok");
};
const quick = ["--every", "100ms", "--min-requests", "10", "--services", "orders"];

const folder = mkdtempSync(join(tmpdir(), "outrigger-canary-"));
let redis: RedisServer;
/** Of the service "orders". */
let four: readonly TestSidecar[];
let crew: Promise<TestCrew>;
let upstream: http.Server & { url: string };
let asking: Asking | undefined;
before(async () => {
  redis = await startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
  await ok("policy", "apply", file(base));
  four = await Promise.all(
    [-1, -1, 1, 1].map((sign, i) => sidecar("orders", i, { clock: clockOff(sign * 60_000) })),
  );
  upstream = await startService(service);
  const crewEnv = { OUTRIGGER_SERVICE: "crew", OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1/32" };
  // Takes its time, while the tests before go on.
  crew = startCrew({ upstream: upstream.url, env: { REDIS_URL: redis.url, ...crewEnv } });
});
afterEach(async () => {
  await asking?.stop();
  asking = undefined;
  await run("policy", "abort");
  await redis.cli.set("outrigger:policy", JSON.stringify(base));
});
after(async () => {
  await Promise.all([...four.map((each) => each.stop()), (await crew).stop()]);
  upstream.close();
  await redis.close();
  rmSync(folder, { recursive: true });
});

function file(document: object): string {
  const path = join(folder, `${crypto.randomUUID()}.json`);
  writeFileSync(path, JSON.stringify(document));
  return path;
}
const env = () => ({ REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "ada" });
const run = (...args: string[]) => outrigger(args, env());
async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  assert.equal(code, 0, stderr + stdout);
  return stdout;
}
const canary = (document: object, ...args: string[]) =>
  ok("policy", "apply", file(document), ...quick, ...args);
/** Whose clock is wrong by so much. */
const clockOff = (byMs: number) => ({
  now: () => Date.now() + byMs,
  mono: () => performance.now(),
});
const sidecar = (
  name: string,
  number: number,
  { env: further, ...options }: Partial<Parameters<typeof startSidecar>[0]> = {},
) =>
  startSidecar({
    ...options,
    upstream: service,
    redisUrl: redis.url,
    env: {
      OUTRIGGER_SERVICE: name,
      OUTRIGGER_INSTANCE: `${name}-${number}`,
      OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1/32",
      ...further,
    },
  });

interface Answer {
  readonly status: number;
  readonly mark: string;
  readonly url: string;
}
interface Asking {
  readonly answers: Answer[];
  stop(): Promise<void>;
}
async function ask(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  http.get(url, { headers }, resolve).once("error", reject);
  const answer = await promise;
  await text(answer);
  return { status: answer.statusCode ?? 0, mark: String(answer.headers["x-mark"]), url };
}
/** Asks all of them again and again until it is stopped. */
function keepAsking(asked: readonly TestSidecar[], path = "/"): Asking {
  const stopping = new AbortController();
  const answers: Answer[] = [];
  const work = asked.map(async ({ url }) => {
    while (!stopping.signal.aborted) {
      answers.push(await ask(url + path));
      await wait(2);
    }
  });
  asking = {
    answers,
    async stop() {
      stopping.abort();
      await Promise.all(work);
    },
  };
  return asking;
}
const state = () => redis.cli.hgetall("outrigger:canary-state");
const ended = (as: string) =>
  eventually(`it is ${as}`, async () => (await state()).state === as, 10_000).catch(async () =>
    assert.equal(as, JSON.stringify(await state())),
  );
const metrics = async () => (await Promise.all(four.map((each) => each.metrics()))).join("");
const marks = (answers: readonly Answer[]): string[] =>
  [...new Set(answers.map(({ mark }) => mark))].toSorted();

const all = (asked: readonly TestSidecar[]) => Promise.all(asked.map(({ url }) => ask(url)));
const allHave = (asked: readonly TestSidecar[], mark: string) =>
  eventually(`all have ${mark}`, async () => marks(await all(asked)).join() === mark, 10_000);

describe("a canary of sidecars", () => {
  test("that only fails is seen by few and withdrawn by the sidecars: the command is dead, Redis slow", async () => {
    const args = [file(bad), "--canary", "25%", "--guard", "errors<1%", "--wait=1m", ...quick];
    const cli = startNode([mainFile, "policy", "apply", ...args], env());
    await eventually("it is begun", async () => (await redis.cli.exists("outrigger:canary")) === 1, 20_000);
    cli.child.kill("SIGKILL");
    await eventually("one tries it", async () => marks(await all(four)).join() === "bad,base");
    redis.freeze();
    const { answers } = keepAsking(four, "/bad/x");
    await eventually("enough are asked", () => answers.length > 700, 20_000);
    redis.thaw();
    const thawedMono = performance.now();
    await ended("withdrawn");
    await allHave(four, "base");
    assert.ok(performance.now() - thawedMono < 10_000, "back within ten seconds");
    await asking?.stop();
    const { why = "" } = await state();
    assert.match(why, /^orders: errors \d+\.\d\d %, allowed \d+\.\d\d % \(\d+ of \d+ requests\)$/);
    const saw = answers.filter(({ mark }) => mark === "bad");
    assert.equal(new Set(saw.map(({ url }) => url)).size, 1, "one of four");
    assert.ok(saw.length < 0.01 * answers.length, `${saw.length} of ${answers.length}`);
    const history = await ok("policy", "history");
    assert.match(history, /withdrawn +ada .*errors/);
    assert.match(history, /canary begins +ada/);
    assert.deepEqual(JSON.parse((await redis.cli.get("outrigger:policy")) ?? ""), base);
  });

  test("passes step by step over a restart of Redis, whatever the clocks say, and becomes the policy", async () => {
    keepAsking(four);
    const guards = ["--guard", "errors<2x,denied<2x", "--min-requests", "2"];
    await canary(good, "--canary", "25%,100%", "--for", "3s", "--reason", "greener", ...guards);
    await eventually("one tries it", async () => marks(await all(four)).includes("good"));
    assert.match(await metrics(), /outrigger_policy_canary\{.*revision="2".*\} 1/);
    await redis.restart();
    const isPolicy = async () =>
      (await redis.cli.get("outrigger:policy").catch(() => "")) === JSON.stringify(good);
    await eventually("it is the policy", isPolicy, 20_000).catch(async () =>
      assert.equal("the policy", JSON.stringify(await state())),
    );
    await allHave(four, "good");
    const { revisions } = JSON.parse(await ok("policy", "history", "--json")) as {
      revisions: Record<string, unknown>[];
    };
    assert.deepEqual(
      revisions.map(({ revision, kind, author, reason }) => [revision, kind, author, reason]),
      [
        [2, "canary", "ada", "canary 25%,100%: greener"],
        [1, "apply", "ada", ""],
      ],
    );
  });

  test("is alone, and ends by promote, by abort, and by whoever changes the policy", async () => {
    await allHave(four, "base");
    await canary(good, "--canary", "50%");
    const refused =
      /^a canary of policy runs, by ada since 20\S+Z: outrigger policy promote or abort ends it$/m;
    for (const args of [["--canary", "10%"], []]) {
      const { code, stderr } = await run("policy", "apply", file(bad), ...args);
      assert.equal(code, 1);
      assert.match(stderr, refused);
    }
    await eventually("some try it", async () => marks(await all(four)).join() === "base,good");
    const line = /^canary of policy, to be revision \d, by ada: step 1 of 1, 50% of sidecars since \ds$/m;
    assert.match(await ok("fleet"), line);
    assert.match(await ok("policy", "abort", "--reason", "no"), /aborted by ada: no: the policy stays/);
    await allHave(four, "base");
    assert.equal((await run("policy", "abort")).code, 1, "none runs");
    // A history that somebody has written over leaves no canary half begun.
    await redis.cli.set("outrigger:canary-history", "mine");
    await canary(good, "--canary", "50%");
    await redis.cli.del("outrigger:canary-history");
    assert.match(await ok("policy", "promote"), /promoted by ada: policy is now at revision \d/);
    await allHave(four, "good");
    await canary(bad, "--canary", "50%", "--min-requests", "1000");
    await eventually("some try it", async () => marks(await all(four)).join() === "bad,good");
    await redis.cli.set("outrigger:policy", JSON.stringify(base));
    await eventually(
      "the one that was SET counts",
      async () => marks(await all(four)).join() === "base",
      1_500,
    );
    await ended("withdrawn");
    assert.equal((await state()).why, "the policy was changed under it: that one is in force");
  });

  test("of a fleet of one is tried by the one, and withdrawn when nobody asks; without a fleet it is refused", async () => {
    const { stderr } = await run("policy", "apply", file(good), "--canary", "1%", "--services", "solo");
    assert.match(stderr, /^no sidecar of solo lives that could try it: outrigger fleet$/m);
    const only = await sidecar("solo", 0);
    try {
      await allHave([only], "base");
      const args = ["--canary", "1%", "--services", "solo", "--for", "1500ms", "--guard", "errors<1%"];
      const told = await run("policy", "apply", file(good), ...quick, ...args);
      assert.match(told.stderr, /^solo has one live sidecar, which gets it for all callers/m);
      await eventually("it is appointed", async () => (await ask(only.url)).mark === "good");
      await ended("withdrawn");
      assert.match((await state()).why ?? "", /^too few requests came to judge: \d of 10$/);
      await allHave([only, ...four], "base");
    } finally {
      await only.stop();
    }
  });

  test("of a layer is tried by its service alone, told in heartbeats with the figures beside it, ended by rollback", async () => {
    const layer = (mark: string) => ({
      apiVersion: "outrigger/v1",
      pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
    });
    const of = ["--service", "orders"];
    const other = await sidecar("others", 0);
    try {
      const first = await run("policy", "apply", file(layer("first")), ...of, "--traffic", "5%");
      assert.equal(first.code, 1);
      assert.match(first.stderr, /^there is no policy:orders .*: --services orders tries the shared policy/m);
      for (const mark of ["first", "second"]) await ok("policy", "apply", file(layer(mark)), ...of);
      await allHave(four, "second");
      keepAsking([...four, other]);
      const rest = ["--canary", "50%", "--every", "100ms", "--reason", "a layer", "--guard", "errors<1%"];
      await ok("policy", "apply", file(layer("third")), ...of, ...rest);
      await eventually("some try it", async () => marks(await all(four)).join() === "second,third");
      assert.match(
        await ok("fleet"),
        /^canary of policy:orders, to be revision 3, by ada: step 1 of 1, 50% of/m,
      );
      interface Told {
        readonly percent: number;
        readonly candidate: { readonly requests: number; readonly p99Ms: number | null };
        readonly baseline: Told["candidate"];
      }
      const told = async (): Promise<readonly (Told | null)[]> => {
        const beats = await redis.cli.mget(four.map((_, i) => `outrigger:fleet:orders:orders-${i}`));
        return beats.map((text) => (JSON.parse(text ?? "{}") as { canary?: Told | null }).canary ?? null);
      };
      const counts = ({ requests, p99Ms }: Told["candidate"]) => requests > 0 && p99Ms !== null;
      await eventually("all tell what they have counted", async () =>
        (await told()).every(
          (each) => each !== null && counts(each.percent === 100 ? each.candidate : each.baseline),
        ),
      );
      // Two of four. The share is drawn among those that have reported: on a busy machine it may become one or three.
      const having = (await told()).filter((each) => each?.percent === 100).length;
      assert.ok(having >= 1 && having <= 3, `${having}`);
      const { status, mark } = await ask(other.url);
      assert.deepEqual([status, mark], [200, "base"]);
      assert.match(await ok("policy", "rollback", ...of), /policy:orders is now at revision/);
      await allHave(four, "first");
      await ended("aborted");
      assert.deepEqual(marks(asking?.answers.filter(({ url }) => url.startsWith(other.url)) ?? []), ["base"]);
      assert.match(await ok("policy", "history", ...of), /canary begins +ada/);
      // One of another document, which no sidecar would see changed.
      await ok("policy", "apply", file(good), ...rest);
      await ok("policy", "rollback", "2", ...of);
      await ended("aborted");
    } finally {
      await asking?.stop();
      await other.stop();
      await redis.cli.del("outrigger:policy:orders");
    }
  });

  test("that lets callers wait until they leave is withdrawn, though they get no answer that is bad", async () => {
    const silent = await startService(() => {});
    const leave = async ({ url }: TestSidecar): Promise<void> => {
      const request = http.get(`${url}/bad/x`, { agent: false }).once("error", () => {});
      await wait(2_500);
      request.destroy();
    };
    try {
      await allHave(four, "base");
      const { url: upstream } = silent;
      const waiting = marked("slow", { routes: [{ path: "/bad/*", upstream }, { path: "/*" }] });
      await canary(waiting, "--canary", "50%", "--for", "7s", "--guard", "p99<2s");
      await eventually("some try it", async () => marks(await all(four)).join() === "base,slow");
      const load = keepAsking(four);
      // More than one in a hundred of what else comes meanwhile.
      await Promise.all(Array.from({ length: 20 }, () => four.map(leave)).flat());
      await load.stop();
      await ended("withdrawn");
      assert.match((await state()).why ?? "", /^orders: p99 \d+\.\d ms, allowed 2000\.0 ms$/);
    } finally {
      silent.closeAllConnections();
      silent.close();
    }
  });

  test("that has lost a route is withdrawn where refusals are guarded", async () => {
    await allHave(four, "base");
    const load = keepAsking(four);
    await canary(
      marked("lost", { routes: [{ path: "/other/*" }] }),
      "--canary",
      "50%",
      "--guard",
      "refused<2x",
    );
    await ended("withdrawn");
    await load.stop();
    assert.match((await state()).why ?? "", /^orders: refused \d+\.\d\d %, allowed /);
  });

  test("that gives what the cache has of the service refuses nothing itself", async () => {
    await allHave(four, "base");
    const load = keepAsking(four, "/gone");
    const { pluginConfig, ...rest } = marked("kept");
    const cached = { ...rest, plugins: ["transform", "cache"], pluginConfig };
    await canary(cached, "--canary", "50%", "--guard", "refused<1%");
    await eventually("some get it", () => load.answers.filter(({ mark }) => mark === "kept").length > 100);
    await load.stop();
    for (const { adminUrl } of four) {
      const { canary: now } = (await (await fetch(`${adminUrl}/policy`)).json()) as {
        canary: { candidate: { refused: number; sidecarErrors: number } } | null;
      };
      assert.deepEqual([now?.candidate.refused, now?.candidate.sidecarErrors], [0, 0]);
    }
  });

  test("that no sidecar reports to any more is withdrawn by whoever looks", async () => {
    await canary(good, "--canary", "50%");
    await ok("policy", "abort");
    const [order = "", ...document] = ((await redis.cli.get("outrigger:canary")) ?? "").split("\n");
    // As a service left it that is gone.
    const left = { ...JSON.parse(order), id: crypto.randomUUID(), services: ["gone"] };
    await redis.cli.set("outrigger:canary", [JSON.stringify(left), ...document].join("\n"));
    const longAgo = Date.now() - 60_000;
    const running = { id: left.id, state: "running", lastAt: longAgo, startedAt: longAgo };
    await redis.cli.hset("outrigger:canary-state", running);
    await redis.cli.hdel("outrigger:canary-state", "settled");
    assert.match(await ok("fleet"), /withdrawn 0s ago: no figures came from any sidecar/);
  });
});

describe("a canary of callers", () => {
  test("gives each the same policy everywhere, by who they are, else by their address", async () => {
    const two = four.slice(0, 2);
    const machine = generateKeyPairSync("ed25519");
    const publicKey = machine.publicKey.export({ type: "spki", format: "pem" });
    const keys = callers.map(({ id, userId }) => ({ keyId: id, algorithm: "ed25519", publicKey, userId }));
    const caching = (mark: string) => {
      const { pluginConfig, ...rest } = keyed(mark);
      const certificates = { forwarded: true, identities: [{ id: "spiffe://test/*" }] };
      const auth = {
        ...pluginConfig.auth,
        certificates,
        signatures: { keys, clockToleranceSeconds: 120 },
      };
      return {
        ...rest,
        plugins: ["auth", "cache", "transform"],
        pluginConfig: { ...pluginConfig, auth },
      };
    };
    await redis.cli.set("outrigger:policy", JSON.stringify(caching("before")));
    await allHave(four, "before");
    await canary(caching("good"), "--traffic", "50%");
    const from = (address: string) => ({ "x-forwarded-for": address });
    for (const { url } of two)
      await eventually("some get it, of each sidecar", async () => {
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, i) => ask(url, from(`192.0.2.${i}`))),
        );
        return marks(answers).join() === "before,good";
      });
    for (let i = 0; i < 20; i += 1) {
      const urls = [0, 1, 0].flatMap((at) => [two[at]?.url ?? "", `${two[at]?.url}/kept`]);
      const each = await Promise.all(urls.map((url) => ask(url, from(`192.0.2.${i}`))));
      assert.equal(marks(each).length, 1, "an address has one, and what the cache has of that one");
    }
    const byKey = new Map<number, string>();
    for (let i = 0; i < 30; i += 1) {
      const key = { "x-api-key": `key-${i}` };
      // Whose it is, is known from its first request on.
      for (const { url } of two) assert.equal((await ask(url, key)).mark, "before");
      await wait(2);
      const each = await Promise.all(
        [0, 1, 0, 1].map((at, n) => ask(two[at]?.url ?? "", { ...key, ...from(`198.51.100.${n}`) })),
      );
      assert.equal(marks(each).length, 1, "a subject has one, wherever they come from");
      byKey.set(i, each[0]?.mark ?? "");
    }
    for (let i = 0; i < 15; i += 1) assert.equal(byKey.get(i), byKey.get(i + 15), "by each of their keys");
    assert.deepEqual([...new Set(byKey.values())].toSorted(), ["before", "good"]);
    for (let i = 0; i < 8; i += 1) {
      const certificate = { "x-forwarded-client-cert": `URI=spiffe://test/${i}` };
      for (const { url } of two) assert.equal((await ask(url, certificate)).mark, "before");
      await wait(2);
      const each = await Promise.all(
        [0, 1, 0, 1, 0, 1].map((at, n) =>
          ask(two[at]?.url ?? "", { ...certificate, ...from(`198.51.100.${n}`) }),
        ),
      );
      assert.equal(marks(each).length, 1, "whoever shows a certificate has one, wherever they come from");
    }
    for (let i = 0; i < 8; i += 1) {
      const { url = "" } = two[0] ?? {};
      const signer = new RequestSigner(`k${i}`, { key: machine.privateKey });
      const signed = (): Record<string, string> => {
        const covered = [
          ['"@method"', "GET"],
          ['"@authority"', new URL(url).host],
          ['"@target-uri"', new URL(url).href],
        ] as const;
        const [one = "", input = "", other = "", signature = ""] = signer.fields({ covered });
        return { [one]: input, [other]: signature };
      };
      assert.equal((await ask(url, signed())).mark, "before");
      await wait(2);
      const marked = await Promise.all([signed(), signed()].map((fields) => ask(url, fields)));
      assert.deepEqual(marks(marked), [byKey.get(i)], "each request is signed anew, by the same key");
      const elsewhere = await ask(url, { ...signed(), ...from("198.51.100.77") });
      assert.equal(elsewhere.mark, "before", "whoever names a key elsewhere has to prove it there");
    }
  });

  test("that one sidecar ends is over at all of them at once, however rarely they report", async () => {
    await allHave(four, "base");
    const answers = (asked: readonly TestSidecar[], path = "/") =>
      Promise.all(
        asked.flatMap(({ url }) =>
          Array.from({ length: 12 }, (_, i) => ask(url + path, { "x-forwarded-for": `192.0.2.${i}` })),
        ),
      );
    const rarely = ["--every", "40s", "--guard", "errors<1%", "--services", "orders"];
    await ok("policy", "apply", file(bad), "--traffic", "50%", ...rarely);
    for (const each of four)
      await eventually("some get it", async () => marks(await answers([each])).join() === "bad,base");
    await eventually(
      "nobody gets it anywhere",
      async () => {
        await answers(four.slice(0, 1), "/bad/x");
        return marks(await answers(four.slice(1))).join() === "base";
      },
      5_000,
    );
    assert.equal((await state()).state, "withdrawn");
  });

  test("is served by every worker, whose troubles are told at once, and taken away from all", async () => {
    const { url } = await crew;
    const answers = (path: string) =>
      Promise.all(
        Array.from({ length: 16 }, (_, i) =>
          ask(url + path, { connection: "close", "x-forwarded-for": `192.0.2.${i}` }),
        ),
      );
    await eventually("it serves", async () => marks(await answers("/")).join() === "base");
    const rarely = ["--every", "20s", "--guard", "errors<1%"];
    await ok("policy", "apply", file(bad), "--traffic", "50%", "--services", "crew", ...rarely);
    await eventually("some get it", async () => marks(await answers("/")).join() === "bad,base");
    await eventually("nobody gets it", async () => marks(await answers("/bad/x")).join() === "base");
    await ended("withdrawn");
  });
});

describe("a canary of a signed fleet", () => {
  test("is verified as any policy: whoever writes the key without the signing key gets nothing", async () => {
    const keyFile = join(folder, "key.json");
    const { stdout: jwks } = await outrigger(["policy", "keygen", keyFile]);
    const keys = { OUTRIGGER_POLICY_KEYS: jwks };
    const signed = (...args: string[]) =>
      outrigger(["policy", "apply", ...args, "--key", keyFile], { ...env(), ...keys });
    assert.equal((await signed(file(base))).code, 0);
    const two = await Promise.all(
      [0, 1].map((i) =>
        sidecar("signed", i, { env: { ...keys, OUTRIGGER_STATE_DIR: mkdtempSync(join(folder, "state-")) } }),
      ),
    );
    try {
      await allHave(two, "base");
      const begun = await signed(file(good), "--canary", "50%", ...quick, "--services", "signed");
      assert.equal(begun.code, 0, begun.stderr);
      await eventually("one tries it", async () => marks(await all(two)).join() === "base,good");
      const order = (await redis.cli.get("outrigger:canary"))?.split("\n")[0] ?? "";
      await ok("policy", "abort");
      await allHave(two, "base");
      // The same order with a document that nobody signed.
      const evil = JSON.stringify(marked("evil"));
      const digest = createHash("sha256").update(evil).digest("hex");
      const forged = { ...JSON.parse(order), id: crypto.randomUUID(), digest, steps: [100] };
      await redis.cli.set("outrigger:canary", `${JSON.stringify(forged)}\n${evil}`);
      const plan = {
        steps: [100],
        guards: [],
        minRequests: 1,
        everyMs: 100,
        forMs: 60_000,
        silentMs: 60_000,
      };
      const now = String(Date.now());
      await redis.cli.hset("outrigger:canary-state", {
        id: forged.id,
        state: "running",
        step: 1,
        stepAt: now,
        startedAt: now,
        plan: JSON.stringify(plan),
      });
      await redis.cli.publish("outrigger:canary", "");
      await ended("withdrawn");
      assert.match((await state()).why ?? "", /cannot have it in force: .*signed/);
      assert.deepEqual(marks(await all(two)), ["base"]);
    } finally {
      await Promise.all(two.map((each) => each.stop()));
    }
  });
});
