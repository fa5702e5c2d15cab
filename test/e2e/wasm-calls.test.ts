// Proxy-wasm guests: their own HTTP calls, timers, shared data, queues, metrics, logs, properties, and the end of a
// stream.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { EndpointServer } from "../support/endpoint-server.ts";
import { GuestScene, guestHosts } from "../support/wasm/guest-scene.ts";
import { scriptGuest } from "../support/wasm/guests.ts";

const get = ":method=GET :authority=called.test";
const routes = {
  "/call": `
request call called 1000 - ${get} :path=/called?x=1 x-sent=yes
request return 1
call arguments
call get 6 :status
call get 6 x-called
call pairs 6
call read 4 0 4096
call effective caller
call put 0 x-answer last
call resume 0`,
  "/post": `
request call called 1000 some%20body :method=POST :authority=called.test :path=/echo content-type=text/plain
request return 1
call read 4 0 4096
call effective caller
call put 0 x-answer last
call resume 0`,
  "/refuse-after-call": `
request call called 1000 - ${get} :path=/called
request return 1
call effective caller
call respond 401 by%20the%20call`,
  "/late": `
request call called 100 - ${get} :path=/late
request return 1
call arguments late
call effective caller
call resume 0`,
  "/down": `
request call down 500 - ${get} :path=/
request return 1
call arguments down
call effective caller
call resume 0`,
  "/unknown": `
request call nobody 500 - ${get} :path=/
request call called 500 - :method=GET
request call called 500 - ${get}`,
  "/on-response": `
response call called 1000 - ${get} :path=/called
response return 1
call read 4 0 4096
call effective caller
call put 2 x-answer last
call resume 1`,
  "/no-wait": `request call called 1000 - ${get} :path=/called
call get 6 :status later`,
};

for (const hosts of guestHosts) {
  describe(`calls of a guest in ${hosts}`, () => {
    const called: string[] = [];
    const service = new EndpointServer((request, response) => {
      called.push(
        `${request.method} ${request.url} ${request.headers.host} ${String(request.headers["x-sent"])}`,
      );
      if (request.url === "/late") return;
      response.setHeader("x-called", "yes");
      if (request.url === "/echo") request.pipe(response);
      else response.end("from the call");
    });
    let scene: GuestScene;
    before(async () => {
      await service.listen();
      scene = await GuestScene.start({
        bytes: await scriptGuest(),
        hosts,
        routes,
        entry: { clusters: { called: service.url, down: "http://127.0.0.1:1" } },
      });
    });
    after(async () => {
      await scene[Symbol.asyncDispose]();
      service.close();
    });

    it("pauses a request until a call is answered, and reads the answer", async () => {
      const { status, forwarded } = await scene.ask("/call");
      assert.equal(status, 200);
      assert.equal(forwarded?.headers["x-answer"], "from the call");
      const results = await scene.results("call");
      assert.equal(results["call get 6 :status"], "0 200");
      assert.equal(results["call get 6 x-called"], "0 yes");
      assert.match(results["call arguments"] ?? "", /^[1-9]\d* 13 0$/);
      assert.match(called.at(-1) ?? "", /^GET \/called\?x=1 \S+ yes$/);
    });

    it("sends a body", async () => {
      assert.equal((await scene.ask("/post")).forwarded?.headers["x-answer"], "some body");
    });

    it("answers a paused request once it knows", async () => {
      const { status, body, forwarded } = await scene.ask("/refuse-after-call");
      assert.deepEqual([status, body, forwarded], [401, "by the call", undefined]);
    });

    it("is told of a call that comes to nothing by no field at all", async () => {
      assert.equal((await scene.ask("/late")).status, 200);
      assert.equal(await scene.result("call arguments late"), "0 0 0");
      assert.equal((await scene.ask("/down")).status, 200);
      assert.equal(await scene.result("call arguments down"), "0 0 0");
    });

    it("calls nobody that the policy does not name, and nothing without its pseudo-fields", async () => {
      assert.equal((await scene.ask("/unknown")).status, 200);
      const codes = Object.entries(await scene.results()).filter(([line]) => line.startsWith("request call"));
      assert.deepEqual(
        codes.map(([, code]) => code),
        ["2", "2", "2"],
      );
    });

    it("pauses a response for a call", async () => {
      const { headers, status } = await scene.ask("/on-response");
      assert.equal(status, 200);
      assert.equal(headers["x-answer"], "from the call");
    });

    it("hears of a call that it did not wait for", async () => {
      await scene.ask("/no-wait");
      assert.equal(await scene.result("call get 6 :status later"), "0 200");
    });

    it("answers many at once, each by its own call", async () => {
      const answers = await Promise.all(Array.from({ length: 32 }, () => scene.ask("/on-response")));
      assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    });
  });
}
