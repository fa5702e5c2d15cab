// Plugins that misbehave in every hook, over real sockets: none brings down the process or another request.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  GatewayError,
  type Exchange,
  type Hooks,
  type Outcome,
  type PluginDefinition,
} from "../../src/plugin-api/contract.ts";
import { pluginWith } from "../support/plugins.ts";
import { startSidecar } from "../support/sidecar.ts";

const service = (_request: unknown, response: { end(body: string): void }): void => response.end("served");

const withPlugins = (...plugins: PluginDefinition[]) =>
  startSidecar({
    policy: { plugins: plugins.map((plugin) => plugin.name) },
    registry: plugins,
    upstream: service,
  });

const fault = (): never => {
  throw new Error("a bug");
};
const failures: readonly (readonly [string, () => never | Promise<never>])[] = [
  ["throws", fault],
  ["rejects", () => Promise.reject(new Error("a bug"))],
  ["hangs", () => new Promise<never>(() => {})],
];

describe("a plugin that fails", () => {
  for (const hook of ["onRequest", "onResponse"] as const) {
    for (const [how, fail] of failures) {
      for (const failMode of ["open", "closed"] as const) {
        it(`${how} in ${hook} and fails ${failMode}: ${failMode === "open" ? "served without it" : "503"}`, async () => {
          const hooks: Hooks = { [hook]: fail, timeLimitMs: { [hook]: 30 } };
          const sidecar = await withPlugins(pluginWith("faulty", hooks, { failMode }));
          const answer = await fetch(sidecar.url);
          if (failMode === "open") {
            assert.equal(answer.status, 200);
            assert.equal(await answer.text(), "served");
          } else {
            assert.equal(answer.status, 503);
            const problem = (await answer.json()) as Record<string, unknown>;
            assert.equal(problem["error"], "Service unavailable");
            assert.equal(problem["code"], "plugin_failed");
            assert.doesNotMatch(JSON.stringify(problem), /a bug/);
          }
          const metrics = await sidecar.metrics();
          const type = how === "hangs" ? "timeout" : "threw";
          const counted = `outrigger_plugin_errors_total\\{[^}]*phase="${hook}",type="${type}"\\} 1`;
          assert.match(metrics, new RegExp(counted));
          assert.match(metrics, /outrigger_plugin_errors_total\{[^}]*plugin="faulty"/);
          await sidecar.stop();
        });
      }
    }
  }

  for (const [how, fail] of failures) {
    it(`${how} in onError: the first error stands`, async () => {
      const hooks: Hooks = { onError: fail, timeLimitMs: { onError: 30 } };
      const plugin = pluginWith("faulty", hooks);
      const sidecar = await startSidecar({
        policy: { plugins: ["faulty"] },
        registry: [plugin],
        upstream: "http://127.0.0.1:1",
      });
      assert.equal((await fetch(sidecar.url)).status, 502);
      await sidecar.stop();
    });
  }

  it("throws in onComplete: nobody notices but the log and the metric", async () => {
    const sidecar = await withPlugins(pluginWith("faulty", { onComplete: fault }));
    assert.equal((await fetch(sidecar.url)).status, 200);
    await sidecar.line((line) => line["phase"] === "onComplete" && line["plugin"] === "faulty");
    await sidecar.stop();
  });

  it("a security plugin stays closed even when the definition says open", async () => {
    const sidecar = await withPlugins(
      pluginWith("guard", { onRequest: fault }, { security: true, failMode: "open" }),
    );
    assert.equal((await fetch(sidecar.url)).status, 503);
    await sidecar.stop();
  });

  it("the time limit cancels: the hook's signal aborts, and no timer is left", async () => {
    let aborted: unknown;
    const hooks: Hooks = {
      onRequest: (exchange) =>
        new Promise(() =>
          exchange.signal.addEventListener("abort", () => (aborted = exchange.signal.reason)),
        ),
      timeLimitMs: { onRequest: 20 },
    };
    const sidecar = await withPlugins(pluginWith("slow", hooks));
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const before = timers();
    assert.equal((await fetch(sidecar.url)).status, 503);
    assert.match(String(aborted), /slow\.onRequest took longer than 20 ms/);
    assert.ok(timers() <= before + 1, "only the client's keep-alive may have added one");
    await sidecar.stop();
  });

  const failsAt = (path: string, hang: boolean): { hooks: Hooks; called: string[] } => {
    const called: string[] = [];
    const onRequest = (exchange: Exchange): undefined | Promise<never> => {
      called.push(exchange.request.path);
      if (exchange.request.path !== path) return undefined;
      if (hang) return new Promise<never>(() => {});
      throw new Error("a bug");
    };
    return { hooks: { onRequest, timeLimitMs: { onRequest: 20 } }, called };
  };

  for (const hang of [false, true]) {
    it(`one that fails closed is asked for everybody, however often it ${hang ? "hung" : "threw"} for one`, async () => {
      const { hooks, called } = failsAt("/bad", hang);
      const sidecar = await withPlugins(pluginWith("faulty", hooks));
      for (let i = 0; i < 8; i += 1) assert.equal((await fetch(`${sidecar.url}/bad`)).status, 503);
      assert.equal((await fetch(`${sidecar.url}/good`)).status, 200);
      assert.equal(called.length, 9);
      await sidecar.stop();
    });
  }

  it("one that fails open cannot be thrown out of the way of others", async () => {
    const { hooks, called } = failsAt("/bad", false);
    const sidecar = await withPlugins(pluginWith("faulty", hooks, { failMode: "open" }));
    for (let i = 0; i < 8; i += 1) assert.equal((await fetch(`${sidecar.url}/bad`)).status, 200);
    assert.equal((await fetch(`${sidecar.url}/good`)).status, 200);
    assert.equal(called.length, 9);
    await sidecar.stop();
  });

  it("one that fails open and hangs five times in a row is left out for a while", async () => {
    const { hooks, called } = failsAt("/bad", true);
    const sidecar = await withPlugins(pluginWith("faulty", hooks, { failMode: "open" }));
    for (let i = 0; i < 8; i += 1) assert.equal((await fetch(`${sidecar.url}/bad`)).status, 200);
    assert.equal(called.length, 5);
    await sidecar.line(({ msg }) => msg === "plugin keeps hanging: requests go on without it for a while");
    assert.match(await sidecar.metrics(), /^outrigger_plugin_left_out_total\{.*plugin="faulty".*\} [36]$/m);
    await sidecar.stop();
  });

  it("one that fails for some does not touch requests beside it", async () => {
    const hooks: Hooks = {
      onRequest: (exchange) => (exchange.request.path === "/hang" ? new Promise<never>(() => {}) : undefined),
      timeLimitMs: { onRequest: 100 },
    };
    const sidecar = await withPlugins(pluginWith("partly", hooks));
    const hanging = fetch(`${sidecar.url}/hang`);
    for (let i = 0; i < 20; i += 1) assert.equal((await fetch(`${sidecar.url}/${i}`)).status, 200);
    assert.equal((await hanging).status, 503);
    await sidecar.stop();
  });
});

describe("the chain", () => {
  const recorder = (name: string, priority: number, record: string[], more: Hooks = {}): PluginDefinition =>
    pluginWith(
      name,
      {
        onRequest: (exchange) => {
          record.push(`${name}.onRequest`);
          return more.onRequest?.(exchange);
        },
        onResponse: () => void record.push(`${name}.onResponse`),
        onComplete: (_exchange: Exchange, outcome: Outcome) =>
          void record.push(`${name}.onComplete ${outcome.status}`),
      },
      { priority },
    );

  it("runs by priority whatever the list's order, and in reverse on the response", async () => {
    const record: string[] = [];
    const [a, b, c] = [recorder("a", 1, record), recorder("b", 2, record), recorder("c", 3, record)];
    const sidecar = await withPlugins(c, a, b);
    await (await fetch(sidecar.url)).text();
    await sidecar.stop();
    assert.deepEqual(record, [
      "a.onRequest",
      "b.onRequest",
      "c.onRequest",
      "c.onResponse",
      "b.onResponse",
      "a.onResponse",
      "c.onComplete 200",
      "b.onComplete 200",
      "a.onComplete 200",
    ]);
  });

  it("a short-circuit skips later plugins, and still passes the response phase and onComplete of the earlier ones", async () => {
    const record: string[] = [];
    const refusing = recorder("b", 2, record, {
      onRequest: () => ({ action: "respond", status: 418, body: "no" }),
    });
    const sidecar = await withPlugins(recorder("a", 1, record), refusing, recorder("c", 3, record));
    const answer = await fetch(sidecar.url);
    assert.equal(answer.status, 418);
    assert.equal(await answer.text(), "no");
    await sidecar.stop();
    assert.deepEqual(record, [
      "a.onRequest",
      "b.onRequest",
      "b.onResponse",
      "a.onResponse",
      "b.onComplete 418",
      "a.onComplete 418",
    ]);
  });

  it("a coded error thrown by a hook is that answer, not a fault", async () => {
    const hooks: Hooks = {
      onRequest: () => {
        throw new GatewayError("dependency_unavailable", "The store is down.");
      },
    };
    const sidecar = await withPlugins(pluginWith("coded", hooks, { failMode: "open" }));
    assert.equal((await fetch(sidecar.url)).status, 503);
    assert.doesNotMatch(await sidecar.metrics(), /outrigger_plugin_errors_total\{[^}]*\} [1-9]/);
    await sidecar.stop();
  });

  it("onError may answer in place of a dead upstream", async () => {
    const hooks: Hooks = { onError: () => ({ action: "respond", status: 200, body: "from memory" }) };
    const sidecar = await startSidecar({
      policy: { plugins: ["saver"] },
      registry: [pluginWith("saver", hooks)],
      upstream: "http://127.0.0.1:1",
    });
    assert.equal(await (await fetch(sidecar.url)).text(), "from memory");
    await sidecar.stop();
  });

  it("onComplete hears of every outcome: served, refused, unmatched, failed, left", async () => {
    const outcomes: string[] = [];
    const plugin = pluginWith("watcher", {
      onRequest: (exchange) =>
        exchange.request.path === "/refused" ? { action: "respond", status: 403 } : undefined,
      onComplete: (exchange, outcome) =>
        void outcomes.push(`${exchange.request.path} ${outcome.status} ${outcome.end}`),
    });
    const sidecar = await startSidecar({
      policy: {
        plugins: ["watcher"],
        routes: [
          { path: "/*", methods: ["GET"] },
          { path: "/dead", upstream: "http://127.0.0.1:1" },
        ],
      },
      registry: [plugin],
      upstream: (request, response) => {
        if (request.url !== "/left") response.end();
      },
    });
    await fetch(`${sidecar.url}/served`);
    await fetch(`${sidecar.url}/refused`);
    await fetch(`${sidecar.url}/unmatched`, { method: "POST" });
    await fetch(`${sidecar.url}/dead`);
    await assert.rejects(fetch(`${sidecar.url}/left`, { signal: AbortSignal.timeout(50) }));
    await sidecar.stop();
    assert.deepEqual(outcomes, [
      "/served 200 complete",
      "/refused 403 complete",
      "/unmatched 405 complete",
      "/dead 502 complete",
      "/left 0 client-aborted",
    ]);
  });

  it("a body that a plugin reads is forwarded whole, and one over its limit is 413", async () => {
    const plugin = pluginWith("reader", {
      onRequest: async (exchange) => void (await exchange.readBody(10)),
    });
    const sidecar = await startSidecar({
      policy: { plugins: ["reader"] },
      registry: [plugin],
      upstream: (request, response) => void request.pipe(response),
    });
    const post = (body: string): Promise<Response> => fetch(sidecar.url, { method: "POST", body });
    assert.equal(await (await post("0123456789")).text(), "0123456789");
    assert.equal((await post("0123456789a")).status, 413);
    await sidecar.stop();
  });

  it("a security plugin cannot be opened by the policy: refused, nothing is served", async () => {
    const sidecar = await startSidecar({
      policy: { plugins: ["guard"], pluginConfig: { guard: { failMode: "open" } } },
      registry: [pluginWith("guard", {}, { security: true })],
      upstream: service,
    });
    const refused = await sidecar.line((line) => line["msg"] === "policy refused; none is in force");
    assert.match(String(refused["problems"]), /pluginConfig\.guard\.failMode/);
    assert.equal((await fetch(sidecar.url)).status, 503);
    await sidecar.stop();
  });
});
