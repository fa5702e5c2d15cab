// Several workers behind one port share the load and one policy; a failure of one affects only its own exchanges.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type http from "node:http";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { RequestSigner } from "../plugins/auth/request-signer.ts";
import { Client, clientsOf, startCrew, startService, type TestCrew } from "../support/crew.ts";
import { outrigger } from "../support/process.ts";
import { connectRaw } from "../support/raw-http.ts";
import { eventually, startRedis } from "../support/redis.ts";

const marked = (mark: string, more: object = {}): Record<string, unknown> => ({
  plugins: ["transform"],
  pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  ...more,
});

let service: http.Server & { url: string };
before(async () => {
  service = await startService((_request, response) => void response.end("ok"));
});
after(() => {
  service.closeAllConnections();
  service.close();
});

async function marks(clients: readonly Client[]): Promise<Set<string>> {
  const answers = await Promise.all(clients.map((client) => client.get("/")));
  return new Set(answers.map(({ fields }) => String(fields["x-mark"])));
}

/** Asks on every connection until all answers carry the mark. @returns milliseconds it took */
async function untilAll(clients: readonly Client[], mark: string): Promise<number> {
  const startedMono = performance.now();
  for (;;) {
    const seen = await marks(clients);
    if (seen.size === 1 && seen.has(mark)) return performance.now() - startedMono;
    assert.ok(performance.now() - startedMono < 10_000, `${mark} is not everywhere: ${[...seen].join()}`);
  }
}

describe("two workers", () => {
  let crew: TestCrew;
  let clients: Client[];
  before(async () => {
    crew = await startCrew({ policy: marked("one"), upstream: service.url });
    clients = await clientsOf(crew);
  });
  after(async () => {
    clients.forEach((client) => client.close());
    const { code, stderr } = await crew.stop();
    assert.deepEqual([code, stderr], [0, ""]);
  });

  it("share the connections, and every request is counted once", async () => {
    for (const worker of [1, 2]) {
      const sockets = `nodejs_active_resources{type="TCPSocketWrap",service="default",worker="${worker}"}`;
      assert.ok((await crew.metric(sockets)) >= clients.length / 2, `worker ${worker} has connections`);
    }
    const requests = 'outrigger_requests_total{service="default",route="/*",method="GET",status="200"}';
    const before = await crew.metric(requests);
    await Promise.all(
      clients.map(async (client, i) => {
        for (let n = 0; n < 10 + i; n++) await client.get("/");
      }),
    );
    const sent = clients.length * 10 + (clients.length * (clients.length - 1)) / 2;
    assert.equal((await crew.metric(requests)) - before, sent);
    const seconds = 'outrigger_request_duration_seconds_count{service="default",route="/*"}';
    assert.equal(await crew.metric(seconds), before + sent);
    assert.equal(await crew.metric('outrigger_workers{service="default"}'), 2);
    assert.equal(await crew.metric('outrigger_policy_revision{service="default"}'), 1);
  });

  it("are all on a new policy within a second, and no request fails on the way", async () => {
    const stop = new AbortController();
    const statuses = new Set<number>();
    const hammering = Promise.all(
      (await clientsOf(crew, 8)).map(async (client) => {
        while (!stop.signal.aborted) statuses.add((await client.get("/")).status);
        client.close();
      }),
    );
    for (const mark of ["two", "three", "four"]) {
      crew.setPolicy(marked(mark));
      assert.ok((await untilAll(clients, mark)) < 1_000);
    }
    assert.equal(await crew.ready(), 200);
    stop.abort();
    await hammering;
    assert.deepEqual([...statuses], [200]);
  });

  it("refuse a policy that cannot be set up: /policy says why, and all stay on the old one", async () => {
    const config = { auth: { required: false, assertion: {} } };
    crew.setPolicy({ plugins: ["auth"], pluginConfig: config });
    await crew.until(1, ({ msg }) => String(msg).startsWith("policy refused"));
    const status = (await (await fetch(`${crew.adminUrl}/policy`)).json()) as {
      source: string;
      lastError: { problems: { message: string }[] };
    };
    assert.equal(status.source, "file");
    assert.match(
      status.lastError.problems[0]?.message ?? "",
      /plugin "auth".*OUTRIGGER_ASSERTION_KEY is not set/,
    );
    assert.deepEqual([...(await marks(clients))], ["four"]);
    assert.equal(await crew.metric('outrigger_policy_rejected_total{service="default"}'), 1);
    assert.equal(await crew.ready(), 200);
    crew.setPolicy(marked("five"));
    await untilAll(clients, "five");
  });

  it("take a new log level all", async () => {
    const refused = ({ msg }: { msg?: unknown }): boolean => msg === "request refused";
    const ask = async (): Promise<void> => {
      const clients = await Promise.all(Array.from({ length: 24 }, () => connectRaw(crew.port)));
      for (const client of clients) client.send("GET / HTTP/1.1\r\n\r\n");
      await Promise.all(clients.map((client) => client.closed));
    };
    const put = (level: string): Promise<Response> =>
      fetch(`${crew.adminUrl}/loglevel`, { method: "PUT", body: level });
    assert.equal((await put("error")).status, 200);
    await ask();
    assert.equal((await put("warn")).status, 200);
    await ask();
    const lines = await crew.until(24, refused);
    assert.equal(lines.length, 24, "none was logged at the level before");
    assert.deepEqual(new Set(lines.map(({ worker }) => worker)), new Set(["1", "2"]));
    assert.equal((await put("no level")).status, 400);
    await put("info");
  });

  it("one killed under load: its exchanges fail and no other, another takes its place, no count falls", async () => {
    const [victim] = [...crew.pids().values()] as [number];
    const requests = 'outrigger_requests_total{service="default",route="/*",method="GET",status="200"}';
    const before = await crew.metric(requests);
    const stop = new AbortController();
    let failures = 0;
    let answers = 0;
    const hammering = Promise.all(
      clients.map(async (client) => {
        while (!stop.signal.aborted) {
          try {
            assert.equal((await client.get("/")).status, 200);
            answers += 1;
          } catch (error) {
            assert.match(String((error as NodeJS.ErrnoException).code), /^ECONNRESET$|^EPIPE$/);
            failures += 1;
          }
        }
      }),
    );
    await eventually("there is load", () => answers > 100);
    process.kill(victim, "SIGKILL");
    const [ended] = await crew.until(1, ({ msg }) => String(msg).startsWith("worker exited"));
    assert.deepEqual(
      [ended?.["pid"], ended?.["reason"], ended?.["restartInMs"]],
      [victim, "signal SIGKILL", 100],
    );
    await crew.until(3, ({ msg }) => msg === "worker is serving");
    const then = answers;
    await eventually("there is load again", () => answers > then + 100);
    stop.abort();
    await hammering;
    assert.ok(failures <= clients.length, `${failures} failures on ${clients.length} connections`);
    assert.ok((await crew.metric(requests)) >= before + then - failures, "counts of the dead are kept");
    assert.equal(await crew.metric("outrigger_worker_restarts_total"), 1);
    assert.equal(await crew.ready(), 200);
    const fresh = await clientsOf(crew);
    assert.deepEqual([...(await marks(fresh))], ["five"], "the new one has the policy in force");
    fresh.forEach((client) => client.close());
  });

  it("that die again and again come back ever later, and the primary stays", async () => {
    const delays: unknown[] = [];
    for (let death = 1; death <= 3; death++) {
      const number = crew.lines().findLast(({ msg }) => msg === "worker is serving")?.["number"] as number;
      const births = crew.lines().filter(({ msg }) => msg === "worker is serving").length;
      process.kill(crew.pids().get(number) as number, "SIGKILL");
      await crew.until(births + 1, ({ msg }) => msg === "worker is serving");
      delays.push(
        crew.lines().findLast(({ msg }) => String(msg).startsWith("worker exited"))?.["restartInMs"],
      );
    }
    assert.deepEqual(delays, [200, 400, 800]);
    assert.equal(await crew.ready(), 200);
    for (const pid of crew.pids().values()) process.kill(pid, "SIGKILL");
    await eventually("not ready while none lives", async () => (await crew.ready()) === 503);
    assert.equal((await fetch(`${crew.adminUrl}/livez`)).status, 200);
    await eventually("ready again", async () => (await crew.ready()) === 200);
  });
});

/** What a worker counted of a shadow run is told when it is gone, and that it is. */
async function shadowOutlives(crew: TestCrew, url: string, clients: readonly Client[]): Promise<void> {
  const plane = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await outrigger(["policy", ...args], { REDIS_URL: url });
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const reported = async () =>
    JSON.parse(await plane("shadow-report", "--json")) as { compared: number; endedWorkers?: number };
  const compared = 'outrigger_policy_shadow_requests_total{service="default",result="compared"}';
  const file = join(crew.folder, "shadow.json");
  writeFileSync(file, JSON.stringify({ apiVersion: "outrigger/v1", ...marked("four") }));
  await plane("apply", file, "--shadow", "--sample", "100%", "--every", "50ms");
  await eventually("both compare", async () => {
    await Promise.all(clients.map((client) => client.get("/")));
    return (await crew.metric(compared)) > 2 * clients.length;
  });
  const before = await crew.metric(compared);
  await eventually("all is told", async () => (await reported()).compared === before);
  process.kill([...crew.pids().values()][0] as number, "SIGKILL");
  await eventually("its end is told", async () => (await reported()).endedWorkers === 1);
  assert.equal((await reported()).compared, before);
  assert.match(await plane("shadow-report"), /^incomplete: a worker ended meanwhile/m);
  await plane("abort");
  await crew.until(3, ({ msg }) => msg === "worker is serving");
}

describe("workers and Redis", () => {
  it("a SET reaches all within a second; the sidecar is one in the fleet", async () => {
    const redis = await startRedis();
    const document = (mark: string): string =>
      JSON.stringify({ apiVersion: "outrigger/v1", ...marked(mark) });
    await redis.cli.set("outrigger:policy", document("one"));
    const crew = await startCrew({ upstream: service.url, env: { REDIS_URL: redis.url } });
    const clients = await clientsOf(crew);
    for (const mark of ["two", "three"]) {
      await redis.cli.set("outrigger:policy", document(mark));
      assert.ok((await untilAll(clients, mark)) < 1_000);
    }
    const status = (await (await fetch(`${crew.adminUrl}/policy`)).json()) as { source: string };
    assert.equal(status.source, "redis");
    assert.equal((await redis.cli.keys("outrigger:fleet:default:*")).length, 1);
    assert.equal(await redis.cli.zcard("outrigger:live:default"), 1);
    assert.equal(await crew.metric('outrigger_redis_up{service="default"}'), 1);
    await shadowOutlives(crew, redis.url, clients);
    clients.forEach((client) => client.close());
    assert.equal((await crew.stop()).code, 0);
    assert.deepEqual(await redis.cli.keys("outrigger:fleet:default:*"), []);
    await redis.close();
  });

  it("leases of all workers keep the bound of the fleet, and without Redis each has its share", async () => {
    const redis = await startRedis();
    const limit = { name: "l", by: "service", when: { paths: ["/limited"] } };
    const set = async (mark: string, numbers: object): Promise<void> => {
      const rateLimit = {
        limits: [{ ...limit, ...numbers }],
        overload: { enabled: false },
        storeTimeoutMs: 500,
      };
      const document = {
        apiVersion: "outrigger/v1",
        plugins: ["rate-limit", "transform"],
        pluginConfig: { "rate-limit": rateLimit, transform: { addResponseHeaders: { "x-mark": mark } } },
      };
      await redis.cli.set("outrigger:policy", JSON.stringify(document));
    };
    await set("leased", { limit: 200, window: "1s", burst: 50, mode: "leased" });
    const crew = await startCrew({ upstream: service.url, env: { REDIS_URL: redis.url } });
    const clients = await clientsOf(crew);
    let passed = 0;
    const startedMono = performance.now();
    while (performance.now() - startedMono < 2_000) {
      const answers = await Promise.all(clients.map((client) => client.get("/limited")));
      passed += answers.filter(({ status }) => status === 200).length;
    }
    const seconds = (performance.now() - startedMono) / 1000;
    const bound = 50 + 200 * (seconds + 0.5);
    assert.ok(passed <= bound, `${passed} of at most ${bound}`);
    assert.ok(passed >= 150 * seconds, `${passed} in ${seconds} s: permits must not lie idle`);
    assert.equal(await crew.metric("outrigger_rate_limit_overshoot_bound"), 100);

    await set("exact", { limit: 41, window: "1h", mode: "exact" });
    await untilAll(clients, "exact");
    await redis.kill();
    await crew.until(3, ({ msg }) => String(msg).startsWith("Redis: out of reach"));
    const alone = await Promise.all([...clients, ...clients].map((client) => client.get("/limited")));
    const shares = alone.filter(({ status }) => status === 200).length;
    assert.ok(shares <= 41 && shares >= 20, `${shares} of 41, 20 a worker`);
    clients.forEach((client) => client.close());
    await crew.stop();
    await redis.close();
  });

  it("without a policy: not ready, 503 from all, and the first SET makes them serve", async () => {
    const redis = await startRedis();
    const crew = await startCrew({ upstream: service.url, env: { REDIS_URL: redis.url } });
    const client = new Client(crew.url);
    assert.equal((await client.get("/")).status, 503);
    assert.equal(await crew.ready(), 503);
    await redis.cli.set("outrigger:policy", JSON.stringify({ apiVersion: "outrigger/v1", ...marked("now") }));
    await eventually("ready", async () => (await crew.ready()) === 200);
    const clients = await clientsOf(crew);
    assert.deepEqual([...(await marks(clients))], ["now"]);
    [client, ...clients].forEach((each) => each.close());
    await crew.stop();
    await redis.close();
  });
});

describe("plugins of workers without Redis", () => {
  const limited = (mark: string, limit: object): Record<string, unknown> => ({
    plugins: ["rate-limit", "transform"],
    pluginConfig: {
      "rate-limit": {
        limits: [{ name: "l", by: "ip", when: { paths: ["/limited"] }, ...limit }],
        overload: { enabled: false },
        // A primary that has to wait for its processor is no primary that fails.
        storeTimeoutMs: 5_000,
      },
      transform: { addResponseHeaders: { "x-mark": mark } },
    },
  });
  let crew: TestCrew;
  let clients: Client[];
  before(async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const env = { OUTRIGGER_ASSERTION_KEY: privateKey.export({ type: "pkcs8", format: "pem" }) };
    crew = await startCrew({ policy: marked("none"), upstream: service.url, env });
    clients = await clientsOf(crew);
  });
  after(async () => {
    clients.forEach((client) => client.close());
    await crew.stop();
  });

  /** @returns how many of the requests pass, over all connections, a request each a round */
  const admitted = async (mark: string, limit: object, rounds: number): Promise<number> => {
    crew.setPolicy(limited(mark, limit));
    await untilAll(clients, mark);
    let passed = 0;
    for (let round = 0; round < rounds; round++) {
      const answers = await Promise.all(clients.map((client) => client.get("/limited")));
      for (const { status } of answers) {
        assert.ok(status === 200 || status === 429, String(status));
        passed += status === 200 ? 1 : 0;
      }
    }
    return passed;
  };

  it("exact limits: over all workers the limit, and not one request more or less", async () => {
    assert.equal(await admitted("hour", { limit: 31, window: "1h", mode: "exact" }, 4), 31);
    assert.equal(await admitted("day", { limit: 1, window: "1d", algorithm: "fixed" }, 2), 1);
  });

  it("leased limits: workers take permits in lots, and all of them together are the quota", async () => {
    const quota = { limit: 2_000, window: "1h", algorithm: "fixed", mode: "leased" };
    const passed = await admitted("quota", quota, 100);
    assert.ok(passed <= 2_000 && passed > 1_900, `${passed}`);
  });

  it("a signed request counts once, whichever worker gets it", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const pem = publicKey.export({ type: "spki", format: "pem" });
    const key = { keyId: "k", algorithm: "ed25519", publicKey: pem, userId: "m" };
    const auth = { required: false, guessing: false, signatures: { keys: [key] } };
    const { pluginConfig } = marked("signed") as { pluginConfig: object };
    crew.setPolicy({ plugins: ["auth", "transform"], pluginConfig: { ...pluginConfig, auth } });
    await untilAll(clients, "signed");
    const covered = [
      ['"@method"', "GET"],
      ['"@authority"', new URL(crew.url).host],
      ['"@target-uri"', `${crew.url}/signed`],
    ] as const;
    const [input, value, name, signature] = new RequestSigner("k", { key: privateKey }).fields({ covered });
    const headers = { [String(input)]: String(value), [String(name)]: String(signature) };
    const answers = await Promise.all(clients.map((client) => client.get("/signed", headers)));
    const count = (wanted: number): number => answers.filter(({ status }) => status === wanted).length;
    assert.deepEqual([count(200), count(401)], [1, clients.length - 1]);
  });

  it("a plugin's document is had from one of them", async () => {
    const auth = { required: false, assertion: {} };
    const { pluginConfig } = marked("keys") as { pluginConfig: object };
    crew.setPolicy({ plugins: ["auth", "transform"], pluginConfig: { ...pluginConfig, auth } });
    await untilAll(clients, "keys");
    const answer = await fetch(`${crew.adminUrl}/plugins/auth/jwks.json`);
    assert.equal(((await answer.json()) as { keys: unknown[] }).keys.length, 1);
    assert.equal((await fetch(`${crew.adminUrl}/plugins/auth/none.json`)).status, 404);
  });
});
