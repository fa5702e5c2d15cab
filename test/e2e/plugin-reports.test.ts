// `GET /plugins`: the plugins of the policy in force and their state, in one process and across several.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startCrew, startService } from "../support/crew.ts";
import { pluginWith } from "../support/plugins.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar } from "../support/sidecar.ts";

interface Shown {
  readonly name: string;
  readonly state: string;
  readonly runtime: string;
  readonly routes: number;
  readonly trouble: string | null;
  readonly hooks: Readonly<
    Record<string, { calls: number; errors: number; p50Micros: number; p99Micros: number }>
  >;
}

async function pluginsAt(adminUrl: string): Promise<readonly Shown[]> {
  const answer = await fetch(`${adminUrl}/plugins`);
  assert.equal(answer.status, 200);
  return ((await answer.json()) as { plugins: readonly Shown[] }).plugins;
}

/** Resolves once so many requests are through. */
async function pluginsAfter(adminUrl: string, requests: number): Promise<readonly Shown[]> {
  let shown: readonly Shown[] = [];
  await eventually(`${requests} requests are told of`, async () => {
    shown = await pluginsAt(adminUrl);
    return shown[0]?.hooks["onComplete"]?.calls === requests;
  });
  return shown;
}

describe("GET /plugins", () => {
  it("tells of the plugins of the policy in force, in their order, what their hooks did", async () => {
    const failing = pluginWith(
      "failing",
      { onRequest: () => Promise.reject(new Error("a bug")), health: () => "not well" },
      { priority: 31, failMode: "open" },
    );
    await using sidecar = await startSidecar({
      plugins: [failing],
      policy: {
        plugins: ["failing", "logging"],
        routes: [{ path: "/*" }, { path: "/bare", plugins: ["logging"] }],
      },
      upstream: (_request, response) => void response.end("ok"),
    });
    for (let i = 0; i < 3; i += 1) await (await fetch(sidecar.url)).text();
    const [logging, other, ...none] = await pluginsAfter(sidecar.adminUrl, 3);
    assert.deepEqual(none, []);
    assert.deepEqual(
      [logging?.name, logging?.runtime, logging?.state, logging?.routes, logging?.trouble],
      ["logging", "built-in", "ok", 2, null],
    );
    assert.deepEqual([other?.name, other?.routes, other?.trouble], ["failing", 1, "not well"]);
    const status = (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as { troubles: object };
    assert.deepEqual(status.troubles, { failing: "not well" });
    const { calls, errors, p50Micros = 0, p99Micros = 0 } = other?.hooks["onRequest"] ?? {};
    assert.deepEqual([calls, errors], [3, 3]);
    assert.ok(p50Micros > 0 && p50Micros <= p99Micros);
  });

  it("adds up what the workers did", async () => {
    const service = await startService((_request, response) => void response.end("ok"));
    const crew = await startCrew({ policy: { plugins: ["logging"] }, upstream: service.url });
    try {
      for (let i = 0; i < 8; i += 1)
        await (
          await fetch(crew.url, { headers: { connection: "close", "X-Request-Id": `request-${i}` } })
        ).text();
      const [logging, ...none] = await pluginsAfter(crew.adminUrl, 8);
      assert.deepEqual([logging?.name, none], ["logging", []]);
      // Of requests, too, any worker may have the one that is asked for.
      const tap = await fetch(`${crew.adminUrl}/tap`);
      const seen = tap.body?.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
      await seen?.next();
      await fetch(crew.url, { headers: { connection: "close", "X-Request-Id": "tapped" } });
      assert.match((await seen?.next())?.value ?? "", /^data: .*"requestId":"tapped"/);
      await seen?.return?.();
      for (let i = 0; i < 8; i += 1)
        assert.equal((await fetch(`${crew.adminUrl}/requests/request-${i}`)).status, 200);
    } finally {
      await crew.stop();
      service.close();
    }
  });
});
