// What is told of the connections to upstreams that come and go.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import type { UpstreamHandler, UpstreamTarget } from "../../../src/upstream/transport.ts";
import { Upstreams } from "../../../src/upstream/upstreams.ts";
import { MemoryTransport } from "../../support/transport/memory.ts";

const silent: UpstreamHandler = {
  onInterim: () => {},
  onHead: () => {},
  onData: () => true,
  onEnd: () => {},
  onFail: () => {},
  onDrain: () => {},
};
const request = {
  method: "GET",
  target: "/",
  fields: [],
  body: "none",
  connectTimeoutMs: 1,
  timeoutMs: 1,
} as const;

class Scene {
  readonly metrics = createMetrics({ service: "test" });
  readonly made: MemoryTransport[] = [];
  readonly upstreams = new Upstreams(() => {
    const transport = new MemoryTransport();
    this.made.push(transport);
    return transport;
  }, this.metrics);

  constructor() {
    this.metrics.onRender(() => this.upstreams.observe());
  }

  open(name: string, protocol?: UpstreamTarget["protocol"]): UpstreamTarget {
    const target = { tls: false, host: name, port: 80, socketPath: undefined, name, protocol };
    this.upstreams.hold(target);
    return target;
  }

  /** Sends a request that stays open. */
  ask(target: UpstreamTarget): void {
    this.upstreams.get(target).send(request, silent);
  }

  /** @returns the figure; undefined = there is no series */
  async active(name: string): Promise<string | undefined> {
    const text = await this.metrics.render();
    return new RegExp(
      `^outrigger_upstream_connections\\{.*upstream="${name}",state="active"\\} (\\d+)$`,
      "m",
    ).exec(text)?.[1];
  }
}

test("the series of upstreams that come and go leave room for others", async () => {
  const scene = new Scene();
  for (let i = 0; i < 1_500; i += 1) {
    const target = scene.open(`10.0.0.${i}`);
    if (i % 500 === 0) assert.equal(await scene.active(`10.0.0.${i}`), "0");
    scene.upstreams.release(target);
  }
  assert.doesNotMatch(await scene.metrics.render(), /upstream_connections\{|series_folded_total\{/);
});

test("connections that outlast the last policy with their upstream are counted until they end", async () => {
  const scene = new Scene();
  const target = scene.open("a");
  scene.ask(target);
  scene.upstreams.release(target);
  assert.equal(await scene.active("a"), "1");
  scene.upstreams.hold(target);
  scene.ask(target);
  assert.equal(await scene.active("a"), "2", "with those of a next policy");
  scene.made[0]?.calls[0]?.fail();
  assert.equal(await scene.active("a"), "1");
  scene.upstreams.release(target);
  scene.made[1]?.calls[0]?.fail();
  assert.equal(await scene.active("a"), undefined);
});

test("connections to one service by two protocols are counted together", async () => {
  const scene = new Scene();
  const targets = [scene.open("a"), scene.open("a", "h2c")];
  for (const target of targets) scene.ask(target);
  assert.equal(await scene.active("a"), "2");
});
