// What contexts of a proxy-wasm guest share: data, queues, metrics, timers; logs, clocks, properties; and how a stream ends.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/redis.ts";
import { GuestScene, guestHosts } from "../support/wasm/guest-scene.ts";
import { type AbiVersion, abiVersions, scriptGuest } from "../support/wasm/guests.ts";

const routes = {
  "/shared": `
request shared none
request setshared key one 0
request shared key
request setshared key two cas
request setshared key three 12345
request shared key
request setshared key four 0`,
  "/read-shared": `request shared key`,
  "/receive": `
configure register work
queue dequeue last
queue dequeue 1`,
  "/send": `
request resolve %20none none
request resolve - work
request enqueue last item
request enqueue 999 item
request dequeue 999`,
  "/metrics": `
configure metric 0 seen
configure metric 1 level
configure metric 2 took
configure metric 9 wrong
request increment 1 2
request increment 1 -1
request record 2 7
request increment 2 -3
request record 3 20
request increment 99 1
request record 99 1
request reading 1
request reading 2
request reading 99`,
  "/tick": `
configure period 20
tick log 2 ticked
tick setshared ticks yes 0`,
  "/log": `
request log 0 level-trace
request log 1 level-debug
request log 2 level-info
request log 3 level-warn
request log 4 level-error
request log 5 level-critical
request logstatus 9 nothing
request write_to 1 printed
request write_to 2 complained
request write_to 7 nowhere
request log 2 two%0Alines`,
  "/clock": `
request time
request clock 0
request clock 1
request clock 9
request random 16
request environment
request arguments_of_program`,
  "/properties": `
request property request/path
request property request/url_path
request property request/query
request property request/host
request property request/method
request property request/scheme
request property request/headers/x-one
request property request/id
request property request/protocol
request property request/size
request property source/address
request property destination/address
request property upstream/address
request property connection/mtls
request property plugin_name
request property plugin_root_id
request property plugin_vm_id
request property route_name
request property nothing/like/this
request setproperty mine value
request property mine
response property response/code
response property mine
log property response/code`,
  "/order": `
create arguments
request arguments
response arguments
done arguments
log arguments
delete arguments`,
  "/hold": `
configure period 20
request arguments
done hold
done return 0
done arguments held
tick effective caller
tick finish
log arguments held
delete arguments held`,
  "/grpc": `request grpc
request foreign none x
request status
request finish`,
  "/context": `request effective 99999
request effective 0`,
};

for (const hosts of guestHosts) {
  describe(`what a guest in ${hosts} has beside its stream`, () => {
    let scene: GuestScene;
    before(async () => {
      scene = await GuestScene.start({ bytes: await scriptGuest(), hosts, routes });
    });
    after(() => scene[Symbol.asyncDispose]());

    it("shares data, changed by compare-and-swap", async () => {
      await scene.ask("/shared");
      const results = await scene.results();
      const lines = scene.messages().filter((text) => text.startsWith("request shared key -> "));
      assert.equal(results["request shared none"], "1");
      assert.deepEqual(lines, ["request shared key -> 0 one", "request shared key -> 0 two"]);
      assert.equal(results["request setshared key two cas"], "0");
      assert.equal(results["request setshared key three 12345"], "8");
      assert.equal(results["request setshared key four 0"], "0");
      await scene.ask("/read-shared");
      assert.equal((await scene.results())["request shared key"], "0 four");
    });

    it("hands items of a queue to the context that registered it", async () => {
      await scene.ask("/send");
      const results = await scene.results();
      assert.equal(results["request resolve %20none none"], "1");
      assert.equal(results["request enqueue last item"], "0");
      assert.equal(results["request enqueue 999 item"], "1");
      assert.equal(results["request dequeue 999"], "1");
      assert.equal(await scene.result("queue dequeue last"), "0 item");
      assert.equal(await scene.result("queue dequeue 1"), "7");
    });

    it("counts and measures on the metrics page", async () => {
      await scene.ask("/metrics");
      const results = await scene.results();
      assert.equal(results["request increment 1 2"], "0");
      assert.equal(results["request increment 1 -1"], "2");
      assert.equal(results["request increment 2 -3"], "0");
      assert.equal(results["request reading 1"], "0 2");
      assert.equal(results["request reading 2"], "0 4");
      for (const line of ["increment 99 1", "record 99 1", "reading 99"]) {
        assert.equal(results[`request ${line}`], "1", line);
      }
      const metrics = await scene.sidecar.metrics();
      assert.match(metrics, /^outrigger_guest_seen[^\n]* 2$/m);
      assert.match(metrics, /^outrigger_guest_level[^\n]* 4$/m);
      assert.match(
        metrics,
        /^outrigger_guest_took[^\n]*_count[^\n]* 1$|^outrigger_guest_took_count[^\n]* 1$/m,
      );
    });

    it("is called by its timer", async () => {
      await scene.sidecar.line(({ msg }) => msg === "ticked");
      const ticks = (): number => scene.sidecar.lines.filter(({ msg }) => msg === "ticked").length;
      await eventually("three ticks", () => ticks() >= 3);
    });

    it("logs at each level, and what it prints", async () => {
      await scene.ask("/log");
      const results = await scene.results();
      await scene.sidecar.line(({ msg }) => msg === "two\nlines");
      const levels = new Map(scene.sidecar.lines.map(({ msg, level }) => [String(msg), level]));
      assert.equal(levels.get("level-debug"), 20);
      assert.equal(levels.get("level-info"), 30);
      assert.equal(levels.get("level-warn"), 40);
      assert.equal(levels.get("level-error"), 50);
      assert.equal(levels.get("level-critical"), 50);
      assert.equal(levels.get("printed"), 30);
      assert.equal(levels.get("complained"), 50);
      assert.equal(results["request logstatus 9 nothing"], "2");
      assert.equal(results["request write_to 1 printed"], "0 7");
      assert.equal(results["request write_to 7 nowhere"], "8");
    });

    it("has clocks and random bytes, and no environment", async () => {
      await scene.ask("/clock");
      const results = await scene.results();
      const seconds = (line: string): number => Number((results[line] ?? "").split(" ")[1]) / 1e9;
      const now = Date.now() / 1_000;
      assert.ok(Math.abs(seconds("request time") - now) < 10);
      assert.ok(Math.abs(seconds("request clock 0") - now) < 10);
      assert.match(results["request clock 1"] ?? "", /^0 \d+$/);
      assert.equal(results["request clock 9"], "58");
      assert.match(results["request random 16"] ?? "", /^0 ./);
      assert.equal(results["request environment"], "0 0");
      assert.equal(results["request arguments_of_program"], "0 0");
    });

    it("knows of the exchange by properties", async () => {
      await scene.ask("/properties?a=b", { headers: { "x-one": "1" } });
      const results = await scene.results("response");
      const of = (path: string): string | undefined => results[`request property ${path}`];
      assert.equal(of("request/path"), "0 /properties?a=b");
      assert.equal(of("request/url_path"), "0 /properties");
      assert.equal(of("request/query"), "0 a=b");
      assert.match(of("request/host") ?? "", /^0 127\.0\.0\.1:\d+$/);
      assert.equal(of("request/method"), "0 GET");
      assert.equal(of("request/scheme"), "0 http");
      assert.equal(of("request/headers/x-one"), "0 1");
      assert.match(of("request/id") ?? "", /^0 .+/);
      assert.equal(of("request/protocol"), "0 HTTP/1.1");
      assert.match(of("source/address") ?? "", /^0 127\.0\.0\.1/);
      assert.match(of("connection/mtls") ?? "", /^0 %00$/);
      assert.equal(of("plugin_name"), "0 guest");
      assert.match(of("plugin_root_id") ?? "", /^0 /);
      assert.match(of("plugin_vm_id") ?? "", /^0 /);
      assert.equal(of("nothing/like/this"), "1");
      assert.equal(of("mine"), "0 value");
      assert.equal(results["response property response/code"], "0 %C8%00%00%00%00%00%00%00");
      assert.equal(results["response property mine"], "0 value");
      assert.equal(await scene.result("log property response/code"), "0 %C8%00%00%00%00%00%00%00");
    });

    it("is told of the end: done, log, delete", async () => {
      await scene.ask("/order");
      await scene.result("delete arguments");
      const hooks = scene.messages().filter((text) => / arguments -> /.test(text));
      const order = hooks.map((text) => text.split(" ")[0]);
      assert.deepEqual(order, ["create", "request", "response", "done", "log", "delete"]);
    });

    it("keeps a stream until the guest is through with it", async () => {
      await scene.ask("/hold");
      await scene.result("delete arguments held");
      const lines = scene.messages().filter((text) => /(held -> .*|finish -> 0)$/.test(text));
      const order = lines.map((text) => text.split(" ")[0]);
      assert.deepEqual(order, ["done", "tick", "log", "delete"]);
    });

    it("hears what is not there", async () => {
      await scene.ask("/grpc");
      const results = await scene.results();
      assert.match(results["request grpc"] ?? "", /^(12|2|10) (12|2|10) /);
      assert.equal(results["request foreign none x"], "1");
      assert.match(results["request status"] ?? "", /^0 /);
      assert.equal(results["request finish"], "1");
      await scene.ask("/context");
      assert.equal((await scene.results())["request effective 99999"], "2");
    });
  });
}

describe("configurations of a guest", () => {
  const start = async (abi: AbiVersion, hosts: (typeof guestHosts)[number]): Promise<GuestScene> =>
    GuestScene.start({
      bytes: await scriptGuest(abi),
      hosts,
      routes: { "/one": "request log 2 one", "/two": "request log 2 two" },
      vmConfiguration: "of the machine",
    });

  for (const hosts of guestHosts) {
    for (const abi of abiVersions) {
      it(`are its own for each route, by ABI ${abi} in ${hosts}`, async () => {
        await using scene = await start(abi, hosts);
        await scene.sidecar.line(({ msg }) => msg === "vm start -> of the machine");
        await scene.ask("/one");
        await scene.sidecar.line(({ msg }) => msg === "one");
        await scene.ask("/two");
        await scene.sidecar.line(({ msg }) => msg === "two");
        assert.ok(!scene.messages().includes("one"));
      });
    }

    it(`refuse the policy when the guest refuses them, in ${hosts}`, async () => {
      await using scene = await GuestScene.start({
        bytes: await scriptGuest(),
        hosts,
        routes: { "/one": "configure return 0" },
      });
      assert.equal((await scene.ask("/one")).status, 503);
      const refused = await scene.sidecar.line(({ level }) => Number(level) >= 50);
      assert.match(JSON.stringify(refused), /guest/);
    });
  }
});
