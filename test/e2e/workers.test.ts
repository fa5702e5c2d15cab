// Several workers behind one port: they share the load and one policy, and whatever happens to one of them happens to
// its own exchanges only.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync } from "node:fs";
import http from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { Client, clientsOf, lives, startCrew, startService, type TestCrew } from "../support/crew.ts";
import { outrigger } from "../support/process.ts";
import { connectRaw } from "../support/raw-http.ts";
import { eventually, startRedis } from "../support/redis.ts";

const marked = (mark: string, more: object = {}): Record<string, unknown> => ({
  plugins: ["transform"],
  pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  ...more,
});

/** Requests that the service holds until the test ends them. */
const held: http.ServerResponse[] = [];
let service: http.Server & { url: string };
before(async () => {
  service = await startService((request, response) => {
    if (request.url === "/slow") held.push(response);
    else response.end("ok");
  });
});
after(() => {
  service.closeAllConnections();
  service.close();
});

/** A request that the service holds; in a box, or it would be awaited here. */
async function slow(client: Client): Promise<{ answer: ReturnType<Client["get"]> }> {
  const before = held.length;
  const answer = client.get("/slow");
  while (held.length === before) await delay(2);
  return { answer };
}

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
      assert.ok((await crew.metric(sockets)) >= 3, `worker ${worker} has connections`);
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
    const [ended] = await crew.until(1, ({ msg }) => String(msg).startsWith("a worker ended"));
    assert.deepEqual(
      [ended?.["pid"], ended?.["reason"], ended?.["restartInMs"]],
      [victim, "signal SIGKILL", 100],
    );
    await crew.until(3, ({ msg }) => msg === "a worker serves");
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
      const number = crew.lines().findLast(({ msg }) => msg === "a worker serves")?.["number"] as number;
      const births = crew.lines().filter(({ msg }) => msg === "a worker serves").length;
      process.kill(crew.pids().get(number) as number, "SIGKILL");
      await crew.until(births + 1, ({ msg }) => msg === "a worker serves");
      delays.push(
        crew.lines().findLast(({ msg }) => String(msg).startsWith("a worker ended"))?.["restartInMs"],
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

describe("workers that end", () => {
  const start = (drainMs: number): Promise<TestCrew> =>
    startCrew({
      policy: { plugins: ["logging"] },
      upstream: service.url,
      env: { OUTRIGGER_DRAIN_MS: String(drainMs) },
    });

  it("SIGTERM: unready, what is in flight on any worker is served, exit 0, lines flushed, nobody is left", async () => {
    const crew = await start(10_000);
    const clients = await clientsOf(crew);
    const running = await Promise.all(clients.map((client) => slow(client)));
    const pids = [...crew.pids().values()];
    assert.equal(pids.length, 2);
    // A terminal sends the signal to all processes.
    pids.forEach((pid) => process.kill(pid, "SIGTERM"));
    crew.child.kill("SIGTERM");
    await crew.said('"msg":"draining"');
    assert.equal(await crew.ready(), 503);
    held.splice(0).forEach((response) => response.end("served"));
    for (const { answer } of running) assert.equal((await answer).body, "served");
    const { code, stderr } = await crew.end;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(crew.lines().filter(({ path }) => path === "/slow").length, clients.length);
    assert.deepEqual(pids.filter(lives), []);
    clients.forEach((client) => client.close());
  });

  it("a second signal ends all of them at once", async () => {
    const crew = await start(60_000);
    const client = new Client(crew.url);
    const { answer } = await slow(client);
    const failed = assert.rejects(answer);
    crew.child.kill("SIGTERM");
    await crew.said('"msg":"draining"');
    crew.child.kill("SIGTERM");
    assert.equal((await crew.end).code, 143);
    await failed;
    await eventually("no worker is left", () => [...crew.pids().values()].every((pid) => !lives(pid)));
    held.pop();
    client.close();
  });

  it("one that hangs in its drain is killed at the limit", async () => {
    const crew = await start(200);
    const [hanging] = [...crew.pids().values()] as [number];
    process.kill(hanging, "SIGSTOP");
    const { code } = await crew.stop();
    assert.equal(code, 0);
    assert.equal(lives(hanging), false);
    const line = crew.lines().find(({ msg }) => String(msg).startsWith("a worker hangs"));
    assert.equal(line?.["pid"], hanging);
  });

  it("POST /drain reaches all: unready, and every connection is asked to go", async () => {
    const crew = await start(10_000);
    const clients = await clientsOf(crew);
    assert.equal((await fetch(`${crew.adminUrl}/drain`, { method: "POST" })).status, 202);
    assert.equal(await crew.ready(), 503);
    const fresh = Array.from({ length: 24 }, () => new Client(crew.url));
    const answers = await Promise.all(fresh.map((client) => client.get("/")));
    assert.deepEqual([...new Set(answers.map(({ fields }) => fields.connection))], ["close"]);
    [...clients, ...fresh].forEach((client) => client.close());
    assert.equal((await crew.stop()).code, 0);
  });

  it("the primary dies: its workers serve what is in flight and end", async () => {
    const crew = await start(10_000);
    const clients = await clientsOf(crew);
    const running = await Promise.all(clients.map((client) => slow(client)));
    const pids = [...crew.pids().values()];
    crew.child.kill("SIGKILL");
    await once(crew.child, "exit");
    held.splice(0).forEach((response) => response.end("served"));
    for (const { answer } of running) assert.equal((await answer).body, "served");
    await eventually("no worker is left", () => !pids.some(lives));
    clients.forEach((client) => client.close());
  });
});

describe("workers that cannot start", () => {
  it("end the sidecar with exit code 1, and the reason", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const { code, stderr } = await outrigger(["run"], {
      OUTRIGGER_WORKERS: "2",
      OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
      OUTRIGGER_ADMIN: "127.0.0.1:0",
    });
    server.close();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`cannot start: Error: .*EADDRINUSE.*127\\.0\\.0\\.1:${port}`));
  });
});

describe("workers on a unix socket", () => {
  it("share it, in place of one that a killed process left, and take it away with them", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "outrigger-crew-")), "in.sock");
    const env = { OUTRIGGER_LISTEN: `unix:${path}` };
    const options = { policy: { plugins: ["logging"] }, upstream: service.url, env };
    const first = await startCrew(options);
    first.child.kill("SIGKILL");
    await eventually("its workers are gone", () => ![...first.pids().values()].some(lives));
    assert.ok(existsSync(path), "the file is left");
    const crew = await startCrew(options);
    const ask = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const request = http.get({ socketPath: path, path: "/", agent: false }, (response) => {
          response.resume().once("end", () => resolve(response.statusCode ?? 0));
        });
        request.once("error", reject);
      });
    for (let i = 0; i < 40; i++) assert.equal(await ask(), 200);
    const [one, two] = await Promise.all(
      ["1", "2"].map((worker) =>
        crew.metric(`process_cpu_user_seconds_total{service="default",worker="${worker}"}`),
      ),
    );
    assert.ok(Number(one) > 0 && Number(two) > 0);
    assert.equal((await crew.stop()).code, 0);
    assert.equal(existsSync(path), false);
  });
});

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
    clients.forEach((client) => client.close());
    assert.equal((await crew.stop()).code, 0);
    assert.deepEqual(await redis.cli.keys("outrigger:fleet:*"), []);
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

describe("limits of workers without Redis", () => {
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
    crew = await startCrew({ policy: marked("none"), upstream: service.url });
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

  it("exact: over all workers the limit, and not one request more or less", async () => {
    assert.equal(await admitted("hour", { limit: 31, window: "1h", mode: "exact" }, 4), 31);
    assert.equal(await admitted("day", { limit: 1, window: "1d", algorithm: "fixed" }, 2), 1);
  });

  it("leased: workers take permits in lots, and all of them together are the quota", async () => {
    const quota = { limit: 2_000, window: "1h", algorithm: "fixed", mode: "leased" };
    const passed = await admitted("quota", quota, 100);
    assert.ok(passed <= 2_000 && passed > 1_900, `${passed}`);
  });
});
