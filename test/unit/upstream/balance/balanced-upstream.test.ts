// Which of several endpoints a request goes to, and which are left out, on a clock that does not move by itself.
import assert from "node:assert/strict";
import type { Resolver } from "node:dns/promises";
import { Socket } from "node:net";
import { describe, test } from "node:test";
import { Fields, GatewayError } from "../../../../src/plugin-api/contract.ts";
import { createMetrics } from "../../../../src/telemetry/metrics.ts";
import { type Address, createResolve } from "../../../../src/upstream/balance/addresses.ts";
import { noteFailure } from "../../../../src/upstream/balance/balanced-call.ts";
import { BalancedUpstreams } from "../../../../src/upstream/balance/balanced-upstreams.ts";
import { CallerDeadline } from "../../../../src/upstream/http2-call.ts";
import { Endpoint } from "../../../../src/upstream/balance/endpoint.ts";
import { HashRing } from "../../../../src/upstream/balance/hash-ring.ts";
import { Outliers } from "../../../../src/upstream/balance/outliers.ts";
import type { BalancedSpec } from "../../../../src/upstream/balance/spec.ts";
import type {
  OwnConnectionHandler,
  OwnRequest,
  UpstreamCall,
  UpstreamHandler,
  UpstreamTarget,
  UpstreamTransport,
} from "../../../../src/upstream/transport.ts";
import { ManualTime } from "../../../support/manual-time.ts";
import { type MemoryCall, MemoryTransport } from "../../../support/transport/memory.ts";

class Scene {
  readonly time = new ManualTime();
  readonly held = new Map<string, MemoryTransport>();
  readonly targets: UpstreamTarget[] = [];
  readonly logged: string[] = [];
  readonly metrics = createMetrics({ service: "test" });
  readonly upstreams: BalancedUpstreams;
  readonly spec: BalancedSpec;
  readonly transport: UpstreamTransport;
  addresses: readonly Address[] = [];
  unanswered: 4 | 6 | undefined;
  looked = 0;

  constructor(given: Partial<BalancedSpec>, zone?: string) {
    const log = (fields: object, message: string): void =>
      void this.logged.push(`${(fields as { endpoint: string }).endpoint} ${message}`);
    this.upstreams = new BalancedUpstreams({
      upstreams: {
        hold: (target) => {
          this.targets.push(target);
          this.held.set(target.name, new MemoryTransport());
        },
        get: ({ name }) => this.held.get(name) as MemoryTransport,
        release: ({ name }) => void this.held.delete(name),
      },
      metrics: this.metrics,
      logger: { debug: log, info: log, warn: log, error: log },
      zone,
      time: this.time,
      random: seeded(),
      resolve: async () => {
        this.looked += 1;
        if (this.addresses.length === 0) throw new Error("no answer");
        return { found: this.addresses, unanswered: this.unanswered };
      },
    });
    const outlier = {
      consecutiveFailures: 5,
      baseEjectionMs: 1_000,
      maxEjectionMs: 5_000,
      maxEjectionPercent: 50,
    };
    this.spec = {
      name: "orders",
      endpoints: endpoints("a", "b", "c"),
      balance: "least-request",
      hashOn: undefined,
      health: undefined,
      outlier,
      ...given,
    };
    this.transport = this.upstreams.hold(this.spec);
  }

  /** Sends it and answers. @returns where it went */
  ask(
    status: number | "fails" | "stays" = 200,
    more: { client?: string; fields?: string[]; tried?: string[] } = {},
  ): string {
    const tried = more.tried ?? [];
    this.transport.send({ ...bare, ...more, tried }, silent);
    const name = tried.at(-1) as string;
    const sent = this.at(name).calls.at(-1);
    if (status === "fails") sent?.fail();
    else if (status !== "stays") {
      sent?.head(status, []);
      sent?.finish();
    }
    return name;
  }

  at(name: string): MemoryTransport {
    return this.held.get(name) as MemoryTransport;
  }

  /** How often each endpoint is asked. */
  spread(count: number, ask = (): string => this.ask()): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let i = 0; i < count; i += 1) {
      const name = ask();
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  async up(endpoint: string): Promise<string | undefined> {
    const text = await this.metrics.render();
    return new RegExp(`^outrigger_upstream_endpoint_up\\{.*endpoint="${endpoint}".*\\} (\\d)$`, "m").exec(
      text,
    )?.[1];
  }
}

const bare = {
  method: "GET",
  target: "/",
  body: "none",
  connectTimeoutMs: 1,
  timeoutMs: 1,
  client: undefined,
  fields: [],
} as const;

const silent: UpstreamHandler = {
  onInterim: () => {},
  onHead: () => {},
  onData: () => true,
  onEnd: () => {},
  onFail: () => {},
  onDrain: () => {},
};

function endpoints(...names: (string | [name: string, zone: string])[]): BalancedSpec["endpoints"] {
  return names.map((each) => {
    const [name, zone] = typeof each === "string" ? [each] : each;
    return {
      target: { tls: false, host: name, port: 80, socketPath: undefined, name },
      zone,
      resolves: false,
    };
  });
}

/** The same numbers every time. */
function seeded(): () => number {
  let state = 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("least-request", () => {
  test("spreads what comes, and what stays open", () => {
    const scene = new Scene({});
    for (const count of Object.values(scene.spread(300))) assert.ok(count > 70, String(count));
    const busy = scene.ask("stays");
    for (let i = 0; i < 60; i += 1) scene.ask("stays");
    const open = ["a", "b", "c"].map((name) => scene.at(name).counts().active);
    assert.ok(Math.max(...open) - Math.min(...open) <= 3, `${busy}: ${open.join()}`);
  });

  test("a try goes where the others did not, while there is such a place", () => {
    const scene = new Scene({});
    for (let i = 0; i < 20; i += 1) {
      const tried: string[] = [];
      for (let each = 0; each < 3; each += 1) scene.ask(200, { tried });
      assert.deepEqual(tried.toSorted(), ["a", "b", "c"]);
      assert.equal(scene.transport.hasOther?.(tried), false);
      scene.ask(200, { tried });
    }
    assert.equal(scene.transport.hasOther?.(["a"]), true);
  });
});

describe("ring-hash", () => {
  test("the same key goes to the same endpoint, and only the keys of one that is gone move", () => {
    const scene = new Scene({ balance: "ring-hash", hashOn: "x-tenant" });
    const keys = Array.from({ length: 300 }, (_, i) => `tenant ${i}`);
    const placed = new Map(keys.map((key) => [key, scene.ask(200, { fields: ["X-Tenant", key] })]));
    for (const count of Object.values(Object.groupBy(placed.values(), (name) => name)))
      assert.ok((count?.length ?? 0) > 60, String(count?.length));
    for (let i = 0; i < 5; i += 1) {
      const key = keys.find((each) => placed.get(each) === "b") as string;
      assert.equal(scene.ask(500, { fields: ["x-tenant", key] }), "b");
    }
    for (const [key, before] of placed) {
      const now = scene.ask(200, { fields: ["x-tenant", key] });
      if (before === "b") assert.notEqual(now, "b");
      else assert.equal(now, before);
    }
  });

  test("without the field it is the client", () => {
    const scene = new Scene({ balance: "ring-hash", hashOn: "x-tenant" });
    const first = scene.ask(200, { client: "192.0.2.1" });
    for (let i = 0; i < 20; i += 1) assert.equal(scene.ask(200, { client: "192.0.2.1" }), first);
  });

  test("an upgrade goes where requests of its key go", () => {
    const scene = new Scene({ balance: "ring-hash", hashOn: "x-tenant" });
    let went = "";
    for (const [name, transport] of scene.held)
      transport.openOwn = () => {
        went = name;
        return () => {};
      };
    const handler = { onReady: () => {}, onFail: () => {} };
    for (let i = 0; i < 20; i += 1) {
      const fields = ["X-Tenant", `tenant ${i}`];
      scene.transport.openOwn({ client: "192.0.2.1", connectTimeoutMs: 1, fields }, handler);
      assert.equal(went, scene.ask(200, { fields }));
    }
  });

  test("an upgrade counts as a request for as long as it lasts", () => {
    const scene = new Scene({ endpoints: endpoints("a", "b") });
    const taken: string[] = [];
    const sockets: Socket[] = [];
    for (const [name, transport] of scene.held)
      transport.openOwn = (_request: OwnRequest, handler: OwnConnectionHandler) => {
        taken.push(name);
        sockets.push(new Socket());
        handler.onReady(sockets.at(-1) as Socket);
        return () => {};
      };
    const handler = { onReady: () => {}, onFail: () => {} };
    for (let i = 0; i < 20; i += 1) scene.transport.openOwn({ connectTimeoutMs: 1 }, handler);
    assert.equal(taken.filter((name) => name === "a").length, 10);
    for (const socket of sockets) socket.destroy();
  });

  test("a ring finds none where none may be", () => {
    assert.equal(new HashRing([{ name: "a" }]).find("k", new Set()), undefined);
  });
});

describe("outliers", () => {
  test("five failures in a row and it is left out, each time for longer, until it does well for as long", async () => {
    const scene = new Scene({ endpoints: endpoints("a", "b") });
    const fail = (status: 500 | "fails"): void => {
      for (let failed = 0; failed < 5;) {
        const name = scene.ask("stays");
        const sent = scene.at(name).calls.at(-1);
        if (name === "a") failed += 1;
        if (name === "b") sent?.head(200, []);
        else if (status === "fails") sent?.fail();
        else sent?.head(status, []);
        sent?.finish();
      }
    };
    const away = async (forMs: number): Promise<void> => {
      assert.equal(await scene.up("a"), "0");
      assert.deepEqual(Object.keys(scene.spread(20)), ["b"]);
      scene.time.pass(forMs - 1);
      assert.deepEqual(Object.keys(scene.spread(20)), ["b"]);
      scene.time.pass(1);
      assert.equal(await scene.up("a"), "1");
    };
    fail(500);
    await away(1_000);
    fail("fails");
    await away(2_000);
    fail(500);
    await away(4_000);
    fail(500);
    await away(5_000);
    scene.time.pass(5_000);
    scene.spread(20);
    fail(500);
    await away(1_000);
    assert.match(scene.logged[0] ?? "", /^a an upstream's endpoint is left out/);
  });

  test("a success in between begins anew", () => {
    const scene = new Scene({ endpoints: endpoints("a", "b") });
    for (const other of ["a", "b"])
      for (let i = 0; i < 50; i += 1) scene.ask(i % 5 === 4 ? 200 : 503, { tried: [other] });
    assert.deepEqual(scene.logged, []);
  });

  /** Asks `a` until its answer's head is there. */
  const headOf = (scene: Scene, status = 200): { sent: MemoryCall; call: UpstreamCall } => {
    const call = scene.transport.send({ ...bare, tried: ["b"] }, silent);
    const sent = scene.at("a").calls.at(-1) as MemoryCall;
    sent.head(status, []);
    return { sent, call };
  };

  test("one whose answers all break off is left out, though each had begun well", () => {
    const scene = new Scene({ endpoints: endpoints("a", "b") });
    for (let i = 0; i < 5; i += 1) {
      assert.deepEqual(scene.logged, []);
      headOf(scene).sent.fail();
    }
    assert.match(scene.logged.join(), /^a an upstream's endpoint is left out/);
  });

  test("an answer that is bad and breaks off is one failure", () => {
    const scene = new Scene({ endpoints: endpoints("a", "b") });
    for (let i = 0; i < 4; i += 1) headOf(scene, 500).sent.fail();
    assert.deepEqual(scene.logged, []);
  });

  test("a stream without end is a success once it has gone on for ten seconds", () => {
    for (const [ms, isOut] of [
      [9_999, true],
      [10_000, false],
    ] as const) {
      const scene = new Scene({ endpoints: endpoints("a", "b") });
      for (let i = 0; i < 4; i += 1) headOf(scene).sent.fail();
      const { sent } = headOf(scene);
      scene.time.pass(ms);
      sent.data(Buffer.from("tick"));
      headOf(scene).sent.fail();
      assert.equal(scene.logged.length > 0, isOut);
      // It counts once: later failures are not undone by what it still brings.
      for (let left = isOut ? 0 : 4; left > 0; left -= 1) {
        assert.deepEqual(scene.logged, []);
        sent.data(Buffer.from("tick"));
        headOf(scene).sent.fail();
      }
      assert.equal(scene.logged.length, 1);
    }
  });

  test("a client that leaves is no failure, and a success only where a body was under way", () => {
    for (const [hasData, isOut] of [
      [false, true],
      [true, false],
    ]) {
      const scene = new Scene({ endpoints: endpoints("a", "b") });
      for (let i = 0; i < 20; i += 1) headOf(scene).call.abort();
      for (let i = 0; i < 4; i += 1) headOf(scene).sent.fail();
      assert.deepEqual(scene.logged, []);
      const { sent, call } = headOf(scene);
      if (hasData) sent.data(Buffer.from("some"));
      call.abort();
      headOf(scene).sent.fail();
      assert.equal(scene.logged.length > 0, isOut);
    }
  });

  test("what is not the endpoint's fault does not count", () => {
    const [one, two] = endpoints("a", "b").map(
      ({ target }) => new Endpoint(target, undefined, new MemoryTransport()),
    );
    const told: string[] = [];
    const rules = { consecutiveFailures: 1, baseEjectionMs: 1, maxEjectionMs: 1, maxEjectionPercent: 50 };
    const outliers = new Outliers(rules, new ManualTime(), () => [one, two] as Endpoint[], {
      ejected: ({ name }) => told.push(name),
      returned: () => {},
    });
    for (const code of ["overloaded", "internal_error", "malformed_request"] as const)
      noteFailure(new GatewayError(code, ""), one as Endpoint, outliers);
    const late = (limitMs: number): GatewayError =>
      new GatewayError("upstream_timeout", "", { cause: new CallerDeadline(limitMs) });
    noteFailure(late(999), one as Endpoint, outliers);
    assert.deepEqual(told, []);
    noteFailure(new GatewayError("upstream_timeout", ""), one as Endpoint, outliers);
    noteFailure(late(1_000), two as Endpoint, outliers);
    assert.deepEqual(told, ["a"]);
    assert.equal(two?.failures, 1);
  });

  test("what was under way when it was left out does not count when it is back", () => {
    const scene = new Scene({ endpoints: endpoints("a", "b") });
    for (let i = 0; i < 10; i += 1) scene.ask("stays", { tried: ["b"] });
    const { calls } = scene.at("a");
    for (const call of calls) call.fail();
    assert.deepEqual([calls.length, scene.logged.length], [10, 1]);
    scene.time.pass(1_000);
    for (let i = 0; i < 4; i += 1) scene.ask(500, { tried: ["b"] });
    assert.equal(scene.logged.length, 2);
    scene.ask(500, { tried: ["b"] });
    assert.equal(scene.logged.length, 3);
  });

  test("at most half of them at a time, and never the only one", () => {
    const scene = new Scene({ endpoints: endpoints("a", "b", "c", "d") });
    for (let i = 0; i < 200; i += 1) scene.ask(500);
    assert.equal(scene.logged.length, 2);
    const alone = new Scene({ endpoints: endpoints("a") });
    for (let i = 0; i < 20; i += 1) alone.ask(500);
    assert.deepEqual(alone.logged, []);
  });
});

describe("health checks", () => {
  const health = {
    path: "/healthz",
    intervalMs: 1_000,
    timeoutMs: 300,
    healthyThreshold: 2,
    unhealthyThreshold: 3,
  };

  /** Answers the checks of all endpoints for so long. */
  const run = (scene: Scene, ms: number, statusOf: (name: string) => number | "silent"): void => {
    for (let passed = 0; passed < ms; passed += 50) {
      scene.time.pass(50);
      for (const [name, { calls }] of scene.held)
        for (const call of calls.splice(0)) {
          const status = statusOf(name);
          assert.equal(call.request.target, "/healthz");
          assert.equal(new Fields(call.request.fields).get("host"), name);
          if (status === "silent") continue;
          call.head(status, []);
          call.finish();
        }
    }
  };

  test("three bad answers, or none in time, take it out, and two good ones bring it back", async () => {
    for (const bad of [503, 404, "silent"] as const) {
      const scene = new Scene({ health });
      run(scene, 6_000, (name) => (name === "b" ? bad : 204));
      assert.equal(await scene.up("b"), "0");
      assert.deepEqual(Object.keys(scene.spread(50)).toSorted(), ["a", "c"]);
      for (const { calls } of scene.held.values()) calls.length = 0;
      run(scene, 3_500, () => 302);
      assert.equal(await scene.up("b"), "1");
      scene.upstreams.close();
      assert.equal(scene.time.pending, 0);
    }
  });

  test("an answer without end is enough of one", async () => {
    const scene = new Scene({ health });
    let looked = 0;
    for (let passed = 0; passed < 4_500; passed += 50) {
      scene.time.pass(50);
      for (const [name, { calls }] of scene.held)
        for (const call of calls.splice(0)) {
          call.head(name === "b" ? 503 : 200, []);
          call.data(Buffer.alloc(65_536));
          assert.equal(call.over, false, "so much is read");
          call.data(Buffer.alloc(1));
          assert.equal(call.over, true, "no more is");
          looked += 1;
        }
    }
    assert.ok(looked > 9);
    assert.deepEqual([await scene.up("b"), await scene.up("c")], ["0", "1"]);
  });

  test("with none healthy all are asked", () => {
    const scene = new Scene({ health });
    run(scene, 6_000, () => 503);
    assert.deepEqual(Object.keys(scene.spread(100)).toSorted(), ["a", "b", "c"]);
  });

  test("with none healthy, a try goes where the others did not all the same", () => {
    const scene = new Scene({ health });
    run(scene, 6_000, () => 503);
    for (let i = 0; i < 20; i += 1) {
      const tried: string[] = [];
      for (let each = 0; each < 3; each += 1) {
        assert.equal(scene.transport.hasOther?.(tried), true);
        scene.ask(200, { tried });
      }
      assert.deepEqual(tried.toSorted(), ["a", "b", "c"]);
      assert.equal(scene.transport.hasOther?.(tried), false);
    }
  });
});

describe("the series of endpoints", () => {
  test("last as long as these, also where a policy takes over from another", async () => {
    const scene = new Scene({});
    for (let i = 0; i < 30; i += 1) scene.ask("stays");
    const late = [...scene.held.values()].flatMap(({ calls }) => calls);
    const next = { ...scene.spec, endpoints: endpoints("b", "d"), health: undefined };
    scene.upstreams.hold(next);
    scene.upstreams.release(scene.spec);
    assert.deepEqual(await Promise.all(["a", "b", "c", "d"].map((each) => scene.up(each))), [
      undefined,
      "1",
      undefined,
      "1",
    ]);
    scene.upstreams.release(next);
    assert.equal(await scene.up("b"), undefined);
    // What an exchange of before still comes to.
    for (const call of late) call.fail();
    assert.doesNotMatch(await scene.metrics.render(), /endpoint_up\{/);
  });

  test("of addresses that come and go leave room for others", async () => {
    const scene = new Scene({});
    for (let i = 0; i < 1_500; i += 1) {
      const spec = { ...scene.spec, name: `u${i}`, endpoints: endpoints(`e${i}`) };
      scene.upstreams.hold(spec);
      assert.equal(i % 500 === 0 ? await scene.up(`e${i}`) : "1", "1");
      scene.upstreams.release(spec);
    }
    assert.doesNotMatch(await scene.metrics.render(), /endpoint="other"|series_folded_total\{.*endpoint_up/);
  });
});

describe("zones", () => {
  const zoned = endpoints(["a", "z1"], ["b", "z1"], ["c", "z2"], ["d", "z2"]);
  const eject = (scene: Scene, name: string): void => {
    for (let i = 0; i < 5; i += 1)
      scene.ask(500, { tried: ["a", "b", "c", "d"].filter((each) => each !== name) });
  };

  test("its own is asked first, as long as half of it is up", () => {
    const scene = new Scene({ endpoints: zoned }, "z1");
    assert.deepEqual(Object.keys(scene.spread(50)).toSorted(), ["a", "b"]);
    eject(scene, "a");
    assert.deepEqual(Object.keys(scene.spread(50)), ["b"]);
    eject(scene, "b");
    assert.deepEqual(Object.keys(scene.spread(50)).toSorted(), ["c", "d"]);
  });

  test("without one, or with one that has no endpoint, all are", () => {
    for (const zone of [undefined, "z3"])
      assert.equal(Object.keys(new Scene({ endpoints: zoned }, zone).spread(100)).length, 4);
  });
});

describe("names", () => {
  const [named] = endpoints("orders.internal");
  const spec = { endpoints: [{ ...(named as BalancedSpec["endpoints"][number]), resolves: true }] };
  const found = (...addresses: string[]): Address[] => addresses.map((address) => ({ address, ttl: 30 }));

  test("each address is an endpoint, looked up again when the answer is too old", async () => {
    const scene = new Scene(spec);
    scene.addresses = found("10.0.0.1", "10.0.0.2");
    assert.equal(scene.ask(), "orders.internal");
    await settled();
    scene.time.pass(5_000);
    await settled();
    assert.deepEqual(Object.keys(scene.spread(50)).toSorted(), [
      "orders.internal@10.0.0.1",
      "orders.internal@10.0.0.2",
    ]);
    assert.equal(scene.targets.at(-1)?.servername, "orders.internal");
    const kept = scene.at("orders.internal@10.0.0.2");
    scene.addresses = found("10.0.0.3", "10.0.0.2");
    scene.time.pass(29_999);
    assert.equal(scene.looked, 2);
    scene.time.pass(1);
    await settled();
    assert.deepEqual(Object.keys(scene.spread(50)).toSorted(), [
      "orders.internal@10.0.0.2",
      "orders.internal@10.0.0.3",
    ]);
    assert.equal(scene.at("orders.internal@10.0.0.2"), kept);
    assert.equal(await scene.up("orders.internal@10.0.0.1"), undefined, "its series ends with it");
    assert.equal(await scene.up("orders.internal@10.0.0.3"), "1");
  });

  test("without an answer, or with a metadata address in it, the last ones stay", async () => {
    const scene = new Scene(spec);
    await settled();
    scene.addresses = found("10.0.0.1");
    scene.time.pass(5_000);
    await settled();
    for (const answer of [[], found("10.0.0.9", "169.254.169.254")]) {
      scene.addresses = answer;
      const { looked } = scene;
      scene.time.pass(30_000);
      await settled();
      assert.ok(scene.looked > looked);
      assert.deepEqual(Object.keys(scene.spread(10)), ["orders.internal@10.0.0.1"]);
    }
    assert.match(scene.logged.at(-1) ?? "", /its last addresses are kept/);
  });

  test("of a version of IP that there is no answer for, the last ones stay, and it is asked again soon", async () => {
    const scene = new Scene(spec);
    await settled();
    scene.addresses = found("10.0.0.1", "fd00::1");
    scene.time.pass(5_000);
    await settled();
    const kept = scene.at("orders.internal@10.0.0.1");
    scene.addresses = found("fd00::2");
    scene.unanswered = 4;
    scene.time.pass(30_000);
    await settled();
    const names = ["orders.internal@10.0.0.1", "orders.internal@fd00::2"];
    assert.deepEqual(Object.keys(scene.spread(50)).toSorted(), names);
    assert.equal(scene.at("orders.internal@10.0.0.1"), kept);
    scene.unanswered = undefined;
    scene.time.pass(5_000);
    await settled();
    assert.deepEqual(Object.keys(scene.spread(50)), ["orders.internal@fd00::2"]);
  });

  test("that there is none is an answer, that the DNS failed is not", async () => {
    const fails = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));
    const address = { address: "fd00::1", ttl: 30 };
    const resolve6 = (async () => [address]) as unknown as Resolver["resolve6"];
    for (const [code, unanswered] of [
      ["ENODATA", undefined],
      ["ENOTFOUND", undefined],
      ["ESERVFAIL", 4],
      ["ETIMEOUT", 4],
    ] as const) {
      const resolve = createResolve({ resolve4: fails(code), resolve6 });
      assert.deepEqual(await resolve("orders.internal"), { found: [address], unanswered });
      await assert.rejects(createResolve({ resolve4: fails(code), resolve6: fails(code) })("x"), { code });
    }
  });

  test("of one name 64 addresses are endpoints, and an answer is good for five minutes at most", async () => {
    const scene = new Scene(spec);
    scene.addresses = Array.from({ length: 200 }, (_, i) => ({ address: `10.0.0.${i}`, ttl: 86_400 }));
    await settled();
    scene.time.pass(5_000);
    await settled();
    assert.equal(scene.held.size, 64);
    const { looked } = scene;
    scene.time.pass(299_999);
    await settled();
    assert.equal(scene.looked, looked);
    scene.time.pass(1);
    await settled();
    assert.equal(scene.looked, looked + 1);
  });

  test("an answer that is good for no time is not asked for all the time", async () => {
    const scene = new Scene(spec);
    scene.addresses = [{ address: "10.0.0.1", ttl: 0 }];
    await settled();
    scene.time.pass(5_000);
    await settled();
    const { looked } = scene;
    scene.time.pass(999);
    await settled();
    assert.equal(scene.looked, looked);
    scene.time.pass(1);
    await settled();
    assert.equal(scene.looked, looked + 1);
  });
});

test("what is known of endpoints outlasts a policy that has the same, and all ends with the last", () => {
  const scene = new Scene({});
  for (let i = 0; i < 100; i += 1) scene.ask(500);
  assert.equal(scene.logged.length, 1);
  assert.equal(scene.upstreams.hold({ ...scene.spec }), scene.transport);
  scene.upstreams.release(scene.spec);
  assert.equal(scene.held.size, 3);
  scene.upstreams.release(scene.spec);
  assert.equal(scene.held.size, 0);
  assert.equal(scene.time.pending, 0);
});
