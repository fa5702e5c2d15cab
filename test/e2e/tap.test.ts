// `outrigger tap`: who sees what, what is redacted, and what its limits are.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { TapHub } from "../../src/telemetry/requests/tap-hub.ts";
import { exchangeOf, outcomeOf } from "../../src/testing/exchange.ts";
import { mainFile, outrigger, startNode } from "../support/process.ts";
import { eventually } from "../support/redis.ts";

describe("outrigger tap", () => {
  let sidecar: TestSidecar;
  const host = () => sidecar.adminUrl.slice("http://".length);
  before(async () => {
    sidecar = await startSidecar({
      policy: {
        plugins: ["logging", "auth"],
        pluginConfig: { auth: { exclude: ["/a/*", "/b"], apiKeys: { headers: ["X-Shop"] } } },
        routes: [{ path: "/a/*" }, { path: "/b" }],
      },
      upstream(request, response) {
        response.statusCode = request.url?.startsWith("/a/bad") === true ? 502 : 200;
        response.setHeader("Set-Cookie", "marked=1");
        response.setHeader("Location", "/c?token=marked&page=2");
        response.setHeader("X-Plain", "shown");
        response.setHeader("Refresh", "1; url=/f?code=marked");
        response.setHeader("Content-Location", "/cb#access_token=marked");
        response.end("marked-body");
      },
    });
  });
  after(() => sidecar.stop());
  const send = async (path: string, headers: Record<string, string> = {}): Promise<void> => {
    await (await fetch(`${sidecar.url}${path}`, { headers })).text();
  };
  const begun = (count: number) =>
    eventually("the tap has begun", () =>
      Promise.resolve(
        sidecar.lines.filter(({ msg }) => msg === "a tap begins: heads of exchanges are shown").length ===
          count,
      ),
    );

  test("shows what was asked for, without secrets, and is logged", async () => {
    const args = ["tap", "--admin", host(), "--route", "/a/*", "--status", "5xx", "--json"];
    const tap = startNode([mainFile, ...args]);
    await begun(1);
    await send("/a/good");
    await send("/b");
    const url = encodeURIComponent("/c?token=marked");
    await send(`/a/bad?access_token=marked&x=1&my_otp=marked&to=${url}&s=eyJhbGciOiJub25lIn0.marked.`, {
      Authorization: "Bearer marked",
      Cookie: "marked=1",
      "X-Shop": "marked",
      "X-My-Secret": "marked",
      Referer: "https://a.test/?code=marked&y=2",
      "X-Seen": "yes",
      "X-Original-URL": "/a?token=marked",
      "Sec-WebSocket-Protocol": "bearer, marked",
      DPoP: "marked",
      "X-Note": "eyJhbGciOiJub25lIn0.marked.",
    });
    const said = await tap.said("/a/bad");
    tap.child.kill("SIGINT");
    assert.equal((await tap.end).code, 0);
    assert.equal(said.trim().split("\n").length, 1, said);
    assert.doesNotMatch(said, /marked/);
    const event = JSON.parse(said) as {
      request: { query: string; fields: [string, string][] };
      response: { status: number; fields: [string, string][] };
    };
    const sent = new Map(event.request.fields.map(([name, value]) => [name.toLowerCase(), value]));
    const got = new Map(event.response.fields.map(([name, value]) => [name.toLowerCase(), value]));
    assert.equal(
      event.request.query,
      "?access_token=[redacted]&x=1&my_otp=[redacted]&to=%2Fc%3Ftoken%3D[redacted]&s=[redacted]",
    );
    assert.equal(sent.get("x-seen"), "yes");
    assert.equal(sent.get("authorization"), "[redacted]");
    assert.equal(sent.get("referer"), "https://a.test/?code=[redacted]&y=2");
    assert.deepEqual([got.get("location"), got.get("x-plain")], ["/c?token=[redacted]&page=2", "shown"]);
    assert.equal((await sidecar.line(({ msg }) => msg === "a tap ends"))["events"], 1);
  });

  test("refuses what it cannot read, and whoever may not look", async () => {
    for (const bad of ["status=6xx", "sample=200%", "rate=0", "for=2h", "other=1"])
      assert.equal((await fetch(`${sidecar.adminUrl}/tap?${bad}`)).status, 400, bad);
    const foreign = await fetch(`${sidecar.adminUrl}/tap`, { headers: { "X-Forwarded-For": "192.0.2.1" } });
    assert.equal(foreign.status, 403);
    const { code, stderr } = await outrigger(["tap", "--admin", host(), "--status", "6xx"]);
    assert.deepEqual([code, /answers 400: .*status/.test(stderr)], [2, true], stderr);
    const share = await outrigger(["tap", "--admin", host(), "--sample", "200%"]);
    assert.match(share.stderr, /answers 400: sample takes a share such as 10% or 0\.1, of all at most$/m);
  });

  test("ends when its time is over", async () => {
    const { code } = await outrigger(["tap", "--admin", host(), "--for", "1s"]);
    assert.equal(code, 0);
  });

  test("cuts a reader off that does not read, and counts it", async () => {
    const reader = connect(Number(new URL(sidecar.adminUrl).port), "127.0.0.1");
    reader.write(`GET /tap?rate=500 HTTP/1.1\r\nHost: ${host()}\r\n\r\n`);
    await once(reader, "readable");
    const padding = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`x-${i}`, "p".repeat(1_000)]));
    let cutOff = false;
    await eventually("it is cut off", async () => {
      await Promise.all(Array.from({ length: 50 }, () => send("/b", padding)));
      cutOff = /outrigger_tap_events_dropped_total\{[^}]*reason="slow"\} [1-9]/.test(await sidecar.metrics());
      return cutOff;
    });
    reader.destroy();
  });
});

test("what is over the rate is counted and told with the next that is shown; nobody looking on costs nothing", () => {
  let dropped = 0;
  const hub = new TapHub({ inc: () => void (dropped += 1) });
  assert.equal(hub.active, false);
  const shown: [string, number][] = [];
  const stop = hub.start(
    { sample: 1, perSecond: 2, forMs: 60_000 },
    (event, untold) => void shown.push([event, untold]),
  );
  assert.equal(hub.active, true);
  for (let i = 0; i < 5; i += 1) {
    const exchange = exchangeOf({ id: String(i) });
    exchange.tapped = hub.begin(exchange);
    exchange.completed(outcomeOf());
  }
  assert.deepEqual([shown.length, dropped], [2, 3]);
  stop();
  assert.equal(hub.active, false);
  assert.equal(hub.begin(exchangeOf()), undefined);
  for (let i = 0; i < 16; i += 1) hub.start({ sample: 1, perSecond: 1, forMs: 1 }, () => {});
  assert.throws(() => hub.start({ sample: 1, perSecond: 1, forMs: 1 }, () => {}), /look on already/);
});
