// The policy's life end to end: a plain SET reaches a serving sidecar, and no failure of Redis fails a request.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, beforeEach, describe, it } from "node:test";
import { eventually, startRedis, type RedisServer } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const document = (mark: string, more: object = {}): string =>
  JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["transform"],
    // Two fields of one policy: an answer that shows different ones was half one policy and half another.
    pluginConfig: { transform: { addHeaders: { "x-mark": mark }, addResponseHeaders: { "x-mark": mark } } },
    ...more,
  });

/** Connections that ask again and again, until told to stop. */
class Hammer {
  readonly failures: string[] = [];
  answers = 0;
  readonly marks = new Map<string, number>();
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  readonly #workers: Promise<void>[];
  #stopped = false;

  constructor(url: string, connections = 64) {
    this.#workers = Array.from({ length: connections }, () => this.#work(url));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    this.#agent.destroy();
  }

  async #work(url: string): Promise<void> {
    while (!this.#stopped) {
      try {
        const { status, mark, echoed } = await this.#ask(url);
        this.answers += 1;
        if (status !== 200) this.failures.push(`status ${status}`);
        else if (mark !== echoed)
          this.failures.push(`mixed: ${echoed} to the service, ${mark} to the client`);
        if (mark !== undefined) this.marks.set(mark, performance.now());
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  #ask(url: string): Promise<{ status: number | undefined; mark: string | undefined; echoed: string }> {
    return new Promise((resolve, reject) => {
      const request = http.get(url, { agent: this.#agent }, (response) => {
        let echoed = "";
        response.on("data", (chunk: Buffer) => (echoed += chunk.toString()));
        response.once("end", () =>
          resolve({ status: response.statusCode, mark: response.headers["x-mark"]?.toString(), echoed }),
        );
        response.once("error", reject);
      });
      request.once("error", reject);
    });
  }
}

const echoMark = (request: http.IncomingMessage, response: http.ServerResponse): void =>
  void response.end(request.headers["x-mark"]);

/** Asks until the answer carries the mark. @returns milliseconds it took */
async function untilMark(url: string, mark: string): Promise<number> {
  const startedMono = performance.now();
  while (performance.now() - startedMono < 20_000) {
    const answer = await fetch(url);
    await answer.arrayBuffer();
    if (answer.headers.get("x-mark") === mark) return performance.now() - startedMono;
    await delay(2);
  }
  throw new Error(`${mark} was not enforced within 20 s`);
}

describe("a policy in Redis", () => {
  let redis: RedisServer;
  let sidecar: TestSidecar;
  before(async () => {
    redis = await startRedis();
    await redis.cli.set("outrigger:policy", document("first"));
    sidecar = await startSidecar({ upstream: echoMark, redisUrl: redis.url });
  });
  beforeEach(async () => {
    await redis.cli.set("outrigger:policy", document("good"));
    await untilMark(sidecar.url, "good");
  });
  after(async () => {
    await sidecar.stop();
    await redis.close();
  });

  it("a SET while 64 connections hammer: none fails, none is mixed, all are on it at once", async () => {
    const hammer = new Hammer(sidecar.url);
    let lastSet = 0;
    try {
      await delay(100);
      for (let i = 0; i < 10; i += 1) {
        const mark = `hammered-${i}`;
        await redis.cli.set("outrigger:policy", document(mark));
        // The figure is the bench's business; a machine under load gets some slack, but less than a poll would need.
        assert.ok((await untilMark(sidecar.url, mark)) < 4_000);
      }
      lastSet = performance.now();
      await delay(200);
    } finally {
      await hammer.stop();
    }
    assert.deepEqual(hammer.failures.slice(0, 5), []);
    assert.ok(hammer.answers > 200, `${hammer.answers} answers`);
    for (const [mark, last] of hammer.marks) {
      if (mark !== "hammered-9") assert.ok(last < lastSet + 1000, `${mark} was still seen`);
    }
  });

  it("a service's layer is over it at once", async () => {
    await redis.cli.set("outrigger:policy:default", document("layered"));
    await untilMark(sidecar.url, "layered");
    await redis.cli.del("outrigger:policy:default");
    await untilMark(sidecar.url, "good");
  });

  for (const [what, value] of [
    ["empty", ""],
    ["not JSON", "policy: yes"],
    ["too large", `{"apiVersion":"outrigger/v1","x":"${"a".repeat(1_100_000)}"}`],
    ["of an unknown field", document("bad", { rooutes: [] })],
    ["polluting prototypes", '{"apiVersion":"outrigger/v1","__proto__":{"polluted":true}}'],
    ["of an unknown plugin", document("bad", { plugins: ["transform", "teleport"] })],
  ] as const) {
    it(`a document that is ${what} is refused whole: the old one serves, log and metric say why`, async () => {
      const refusals = () =>
        sidecar.lines.filter((line) => String(line["msg"]).startsWith("policy refused")).length;
      const before = refusals();
      await redis.cli.set("outrigger:policy", value);
      await eventually("the refusal is logged", () => refusals() > before);
      assert.equal((await fetch(sidecar.url)).headers.get("x-mark"), "good");
      assert.match(await sidecar.metrics(), /outrigger_policy_rejected_total\{[^}]*\} [1-9]/);
      const status = (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as {
        lastError: { problems: { document: string; message: string }[] };
      };
      assert.equal(status.lastError.problems[0]?.document, "outrigger:policy");
      assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
    });
  }

  it("a key of the wrong type, then no key at all: the last good one serves", async () => {
    await redis.cli.del("outrigger:policy");
    await redis.cli.lpush("outrigger:policy", "a list");
    await sidecar.line((line) =>
      /^Redis cannot be read: .*; the policy in force goes on$/.test(String(line["msg"])),
    );
    assert.equal((await fetch(sidecar.url)).headers.get("x-mark"), "good");
    await redis.cli.del("outrigger:policy");
    const gone = 'Redis has no key "outrigger:policy"; the policy in force goes on';
    await sidecar.line((line) => line["msg"] === gone && line["state"] === "absent");
    assert.equal((await fetch(sidecar.url)).headers.get("x-mark"), "good");
    await redis.cli.set("outrigger:policy", document("back"));
    await untilMark(sidecar.url, "back");
  });

  it("Redis killed and restarted under load: not one failed request, and the next SET counts again", async () => {
    const hammer = new Hammer(sidecar.url, 16);
    try {
      await redis.kill();
      await delay(300);
      await redis.restart();
      await redis.cli.set("outrigger:policy", document("after-restart"));
      await untilMark(sidecar.url, "after-restart");
    } finally {
      await hammer.stop();
    }
    assert.deepEqual(hammer.failures.slice(0, 5), []);
  });

  it("a frozen Redis delays nobody", async () => {
    redis.freeze();
    const startedMono = performance.now();
    for (let i = 0; i < 50; i += 1) assert.equal((await fetch(sidecar.url)).status, 200);
    const tookMs = performance.now() - startedMono;
    redis.thaw();
    assert.ok(tookMs < 5_000, `${tookMs} ms`);
    await redis.cli.set("outrigger:policy", document("thawed"));
    await untilMark(sidecar.url, "thawed");
  });

  it("the heartbeat tells the fleet what is in force", async () => {
    await eventually("one heartbeat, of a policy after the first", async () => {
      const [key, ...more] = await redis.cli.keys("outrigger:fleet:default:*");
      if (key === undefined || more.length > 0) return false;
      const beat = JSON.parse((await redis.cli.get(key)) ?? "{}") as Record<string, unknown>;
      const lives = (await redis.cli.pttl(key)) > 0;
      return lives && typeof beat["digest"] === "string" && (beat["revision"] as number) > 1;
    });
  });
});

describe("a start without Redis' help", () => {
  it("Redis has no policy, no file, nothing kept: not ready, every request 503", async () => {
    const redis = await startRedis();
    const sidecar = await startSidecar({ upstream: echoMark, redisUrl: redis.url });
    const answer = await fetch(sidecar.url);
    assert.equal(answer.status, 503);
    assert.equal(((await answer.json()) as { code: string }).code, "not_ready");
    assert.equal((await fetch(`${sidecar.adminUrl}/readyz`)).status, 503);
    await redis.cli.set("outrigger:policy", document("now"));
    const startedMono = performance.now();
    while ((await fetch(`${sidecar.adminUrl}/readyz`)).status !== 200) {
      assert.ok(performance.now() - startedMono < 5_000);
      await delay(5);
    }
    assert.equal((await fetch(sidecar.url)).headers.get("x-mark"), "now");
    await sidecar.stop();
    await redis.close();
  });

  it("Redis is dead: the kept copy serves, and says where it is from", async () => {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-state-"));
    const redis = await startRedis();
    await redis.cli.set("outrigger:policy", document("kept"));
    const env = { OUTRIGGER_STATE_DIR: folder };
    const first = await startSidecar({ upstream: echoMark, redisUrl: redis.url, env });
    assert.equal((await fetch(first.url)).headers.get("x-mark"), "kept");
    await first.stop();
    await redis.kill();
    const second = await startSidecar({ upstream: echoMark, redisUrl: redis.url, env });
    assert.equal((await fetch(second.url)).headers.get("x-mark"), "kept");
    const status = (await (await fetch(`${second.adminUrl}/policy`)).json()) as { source: string };
    assert.equal(status.source, "kept");
    await second.stop();
    await redis.close();
    rmSync(folder, { recursive: true });
  });

  it("Redis is dead and nothing was kept: the policy file is the baseline, until Redis speaks", async () => {
    const redis = await startRedis();
    await redis.kill();
    const policy = JSON.parse(document("baseline")) as Record<string, unknown>;
    const sidecar = await startSidecar({ upstream: echoMark, redisUrl: redis.url, policy });
    assert.equal((await fetch(sidecar.url)).headers.get("x-mark"), "baseline");
    await redis.restart();
    await redis.cli.set("outrigger:policy", document("central"));
    await untilMark(sidecar.url, "central");
    await sidecar.stop();
    await redis.close();
  });
});

describe("a policy in a file", () => {
  it("is taken again when it changes, and refused when it is wrong", async () => {
    const sidecar = await startSidecar({
      upstream: echoMark,
      policy: JSON.parse(document("one")) as Record<string, unknown>,
    });
    assert.equal((await fetch(sidecar.url)).headers.get("x-mark"), "one");
    sidecar.setPolicy({ rubbish: true });
    await sidecar.line((line) => String(line["msg"]).startsWith("policy refused"));
    assert.equal((await fetch(sidecar.url)).headers.get("x-mark"), "one");
    sidecar.setPolicy(JSON.parse(document("two")) as Record<string, unknown>);
    await untilMark(sidecar.url, "two");
    await sidecar.stop();
  });
});
