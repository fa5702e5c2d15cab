// Upstreams with several endpoints: real services that die, fail and come back, and what callers and operators see.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { test } from "node:test";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { eventually } from "../support/redis.ts";
import { type Handle, RestartingService } from "../support/restarting-service.ts";
import { connectRaw, type RawClient, requestText, startRawService } from "../support/raw-http.ts";
import { startRedis } from "../support/redis.ts";

async function services(
  count: number,
  handle: (name: string) => Handle,
): Promise<RestartingService[] & AsyncDisposable> {
  const started = Array.from({ length: count }, (_, i) => new RestartingService("http1", handle(`s${i}`)));
  await Promise.all(started.map((each) => each.start()));
  return Object.assign(started, {
    async [Symbol.asyncDispose]() {
      for (const each of started) each.stop();
    },
  });
}

const named =
  (name: string): Handle =>
  (_request, response) =>
    void response.end(name);

/** A sidecar whose only route goes to an upstream of these. */
const sidecarOver = (
  over: readonly { readonly url: string }[],
  upstream: Record<string, unknown> = {},
  route: Record<string, unknown> = {},
  env: Record<string, string> = {},
): Promise<TestSidecar> =>
  startSidecar({
    policy: {
      plugins: ["logging"],
      routes: [{ path: "/*", upstream: "orders", ...route }],
      upstreams: { orders: { endpoints: over.map(({ url }) => url), ...upstream } },
    },
    upstream: "http://127.0.0.1:1",
    env: { OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS: "500", ...env },
  });

/** How many of so many requests each service answers, by status where it is not 200. */
async function spread(sidecar: TestSidecar, count: number, headers: Record<string, string> = {}) {
  const counts: Record<string, number> = {};
  for (let i = 0; i < count; i += 1) {
    const answer = await fetch(sidecar.url, { headers });
    const text = await answer.text();
    const name = answer.ok ? text : String(answer.status);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

const up = async (sidecar: TestSidecar, { port }: { readonly port: number }): Promise<string | undefined> => {
  const line = new RegExp(
    `^outrigger_upstream_endpoint_up\\{.*endpoint="127.0.0.1:${port}".*\\} (\\d)$`,
    "m",
  );
  return line.exec(await sidecar.metrics())?.[1];
};

test("requests are spread, and one that finds its endpoint dead goes to another", async () => {
  await using over = await services(3, named);
  await using sidecar = await sidecarOver(
    over,
    { outlier: { baseEjectionMs: 60_000 } },
    { retry: { backoffMs: 1 } },
  );
  assert.deepEqual(Object.keys(await spread(sidecar, 60)).toSorted(), ["s0", "s1", "s2"]);
  over[1]?.stop();
  const after = await spread(sidecar, 60);
  assert.deepEqual(Object.keys(after).toSorted(), ["s0", "s2"]);
  assert.equal(await up(sidecar, over[1] as RestartingService), "0");
  const line = await sidecar.line(({ msg }) => String(msg).includes("is left out"));
  assert.deepEqual([line["upstream"], line["endpoint"]], ["orders", `127.0.0.1:${over[1]?.port}`]);
});

test("an endpoint that answers 500 is left out after five, and comes back", async () => {
  let ill = true;
  await using over = await services(2, (name) => (_request, response) => {
    response.statusCode = name === "s1" && ill ? 500 : 200;
    response.end(name);
  });
  await using sidecar = await sidecarOver(over, { outlier: { baseEjectionMs: 300 } });
  let failures = 0;
  await eventually("it is left out", async () => {
    failures += (await spread(sidecar, 5))["500"] ?? 0;
    return (await up(sidecar, over[1] as RestartingService)) === "0";
  });
  assert.equal(failures, 5);
  ill = false;
  await eventually("it is back", async () => "s1" in (await spread(sidecar, 5)));
});

test("an upgrade that is answered is a success, and one that is not a failure", async (t) => {
  const answers = {
    "/101": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: mine/1\r\n\r\n",
    "/403": "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "/500": "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "/none": "",
  };
  const answerAll = (peer: RawClient): void =>
    void peer
      .until((text) => text.includes("\r\n\r\n"))
      .then(
        (head) => {
          peer.send(answers[head.split(" ")[1] as keyof typeof answers]);
          peer.end();
        },
        () => {},
      );
  const services = [await startRawService(answerAll), await startRawService(answerAll)];
  t.after(() => {
    for (const each of services) each.close();
  });
  // The same endpoint has every request, as long as it is up.
  await using sidecar = await sidecarOver(services, {
    balance: "ring-hash",
    hashOn: "X-Key",
    outlier: { consecutiveFailures: 2, baseEjectionMs: 60_000 },
  });
  const ask = async (path: keyof typeof answers): Promise<void> => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", path, ["X-Key: a", "Connection: Upgrade", "Upgrade: mine/1"]));
    const status = path === "/none" ? 502 : Number(path.slice(1));
    assert.equal((await client.answer()).status, status);
    client.end();
    await client.closed;
  };
  const leftOut = async (): Promise<number> => {
    const states = await Promise.all(services.map((each) => up(sidecar, each)));
    return states.filter((state) => state === "0").length;
  };
  for (const path of ["/none", "/101", "/500", "/403", "/none", "/101", "/500"] as const) await ask(path);
  assert.equal(await leftOut(), 0);
  await ask("/none");
  assert.equal(await leftOut(), 1);
});

test("a caller of gRPC that does not wait takes no endpoint out", async () => {
  await using silent = new RestartingService("h2c", () => {});
  await using other = new RestartingService("h2c", () => {});
  await Promise.all([silent.start(), other.start()]);
  await using sidecar = await sidecarOver(
    [silent, other],
    { outlier: { consecutiveFailures: 1 } },
    { upstreamProtocol: "h2c" },
  );
  const session = connect(sidecar.url);
  const stream = session.request({
    ":method": "POST",
    ":path": "/shop.Orders/Get",
    "content-type": "application/grpc",
    "grpc-timeout": "50m",
    te: "trailers",
  });
  stream.end(Buffer.alloc(5));
  const [head] = (await once(stream, "response")) as [Record<string, string>];
  session.destroy();
  assert.equal(head["grpc-status"], "4");
  assert.deepEqual([await up(sidecar, silent), await up(sidecar, other)], ["1", "1"]);
});

test("health checks take an endpoint out before callers notice, and bring it back", async () => {
  let ready = true;
  await using over = await services(2, (name) => (request, response) => {
    if (request.url === "/healthz?deep=1") response.statusCode = name === "s1" && !ready ? 503 : 204;
    response.end(response.statusCode === 200 ? name : undefined);
  });
  const health = { path: "/healthz?deep=1", intervalMs: 500, unhealthyThreshold: 1, healthyThreshold: 1 };
  await using sidecar = await sidecarOver(over, { health });
  await eventually("both are asked", async () => Object.keys(await spread(sidecar, 10)).length === 2);
  ready = false;
  await eventually("one is out", async () => (await up(sidecar, over[1] as RestartingService)) === "0");
  assert.deepEqual(await spread(sidecar, 20), { s0: 20 });
  ready = true;
  await eventually("it is back", async () => (await up(sidecar, over[1] as RestartingService)) === "1");
});

test("ring-hash keeps what is alike together, over HTTP/2 as well", async () => {
  const over = ["a", "b", "c"].map((name) => new RestartingService("h2c", named(name)));
  await Promise.all(over.map((each) => each.start()));
  await using sidecar = await sidecarOver(
    over,
    { balance: "ring-hash", hashOn: "X-Tenant" },
    { upstreamProtocol: "h2c" },
  );
  const places = new Set<string>();
  for (let tenant = 0; tenant < 12; tenant += 1) {
    const [place, ...others] = Object.keys(await spread(sidecar, 3, { "x-tenant": `t${tenant}` }));
    assert.deepEqual(others, []);
    places.add(place as string);
  }
  assert.ok(places.size > 1);
  for (const each of over) each.stop();
});

test("with every endpoint away requests wait as for a single one", async () => {
  await using over = await services(2, named);
  await using sidecar = await sidecarOver(over, {}, { retry: { backoffMs: 1 } });
  for (const each of over) each.stop();
  const waiting = spread(sidecar, 1);
  await eventually("it waits", async () =>
    /^outrigger_retries_total\{.*result="waited".*\} 1$/m.test(await sidecar.metrics()),
  );
  await over[0]?.start();
  assert.deepEqual(await waiting, { s0: 1 });
});

test("the sidecar's own zone is asked first", async () => {
  await using over = await services(2, named);
  const endpoints = over.map(({ url }, i) => ({ url, zone: `z${i}` }));
  await using sidecar = await sidecarOver(over, { endpoints }, {}, { OUTRIGGER_ZONE: "z1" });
  assert.deepEqual(await spread(sidecar, 20), { s1: 20 });
});

test("a new policy with the same upstream loses no connection, and one without it ends its checks", async () => {
  await using over = await services(1, named);
  const policy = {
    plugins: ["logging"],
    upstreams: { orders: { endpoints: [over[0]?.url], health: { path: "/h", intervalMs: 500 } } },
  };
  const routes = [{ path: "/*", upstream: "orders" }];
  await using sidecar = await startSidecar({
    policy: { ...policy, routes },
    upstream: over[0]?.url as string,
  });
  await eventually("it is checked", () => (over[0]?.asked ?? 0) > 0);
  assert.equal(await up(sidecar, over[0] as RestartingService), "1");
  sidecar.setPolicy({ ...policy, routes: [...routes, { path: "/new", upstream: "orders" }] });
  await sidecar.line(({ msg }) => String(msg).startsWith("policy in force"));
  assert.deepEqual(await spread(sidecar, 3), { s0: 3 });
  sidecar.setPolicy({ plugins: ["logging"] });
  await eventually(
    "its endpoint is gone, and its series",
    async () => (await up(sidecar, over[0] as RestartingService)) === undefined,
  );
});

test("wrong upstreams are refused with their place", async () => {
  const policyOf = (upstream: unknown, name = "orders") => ({
    routes: [{ path: "/*", upstream: name }],
    upstreams: { orders: upstream },
  });
  const good = { endpoints: ["http://127.0.0.1:1"] };
  for (const [policy, place] of [
    [policyOf(good, "order"), /routes\[0\]\.upstream.*unknown upstream "order", did you mean "orders"/],
    [policyOf({ endpoints: [] }), /upstreams\.orders\.endpoints/],
    [
      policyOf({ endpoints: ["http://10.0.0.1:80"] }),
      /upstreams\.orders\.endpoints\[0\].*OUTRIGGER_UPSTREAM_ALLOW/,
    ],
    [
      policyOf({ endpoints: ["http://169.254.169.254:80"] }),
      /upstreams\.orders\.endpoints\[0\].*metadata address/,
    ],
    [
      policyOf({ endpoints: ["http://[::ffff:169.254.169.254]:80"] }),
      /upstreams\.orders\.endpoints\[0\].*metadata/,
    ],
    [policyOf({ endpoints: ["http://127.0.0.1:1/base"] }), /upstreams\.orders\.endpoints\[0\].*no path/],
    [policyOf({ endpoints: ["http://127.0.0.1:1", "http://127.0.0.1:1"] }), /endpoints\[1\].*listed twice/],
    [policyOf({ ...good, balance: "random" }), /upstreams\.orders\.balance/],
    [policyOf({ ...good, health: { path: "healthz" } }), /upstreams\.orders\.health\.path/],
    [policyOf({ ...good, health: { path: "/", interval: 1 } }), /health\.interval.*intervalMs/],
    [policyOf({ ...good, outlier: { maxEjectionPercent: 101 } }), /outlier\.maxEjectionPercent/],
    [{ ...policyOf(good), upstreams: { "Or:ders": good } }, /upstreams/],
  ] as const) {
    const env = { OUTRIGGER_UPSTREAM_ALLOW: "169.254.169.254:80" };
    await using sidecar = await startSidecar({ policy, upstream: "http://127.0.0.1:1", env });
    const { problems } = await sidecar.line(({ msg }) => String(msg).startsWith("policy refused"));
    assert.match(String(problems), place);
  }
});

test("a service's layer names no endpoints, and only upstreams that the shared policy names for it", async () => {
  const redis = await startRedis();
  try {
    await using over = await services(1, named);
    const shared = {
      apiVersion: "outrigger/v1",
      plugins: ["logging"],
      routes: [
        { path: "/*" },
        { path: "/o/*", upstream: "orders" },
        { path: "/p/*", services: ["other"], upstream: "paid" },
      ],
      upstreams: { orders: { endpoints: [over[0]?.url] }, paid: { endpoints: [over[0]?.url] } },
    };
    await redis.cli.set("outrigger:policy", JSON.stringify(shared));
    await using sidecar = await startSidecar({
      upstream: "http://127.0.0.1:1",
      redisUrl: redis.url,
      env: { OUTRIGGER_SERVICE: "mine" },
    });
    const layer = async (text: object): Promise<void> =>
      void (await redis.cli.set(
        "outrigger:policy:mine",
        JSON.stringify({ apiVersion: "outrigger/v1", ...text }),
      ));
    const refused = async (place: RegExp): Promise<void> =>
      void (await sidecar.line(
        ({ msg, problems }) => String(msg).startsWith("policy refused") && place.test(String(problems)),
      ));
    await layer({ upstreams: { orders: { endpoints: ["http://127.0.0.1:9"] } } });
    await refused(/upstreams: only the shared policy names endpoints/);
    await layer({ routes: [{ path: "/x", upstream: "paid" }] });
    await refused(
      /routes\[0\]\.upstream: must be the service's own upstream, or one that the shared policy names for it/,
    );
    await layer({ routes: [{ path: "/x", upstream: "nowhere" }] });
    await refused(/routes\[0\]\.upstream: unknown upstream "nowhere"/);
    await layer({ routes: [{ path: "/x", upstream: "orders" }] });
    await eventually("the layer is in force", async () => (await fetch(`${sidecar.url}/x`)).ok);
  } finally {
    await redis.close();
  }
});
