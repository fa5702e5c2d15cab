// Fields as proxy-wasm guests see and change them, for each version of the ABI, in each host of guests.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { GuestScene, guestHosts } from "../support/wasm/guest-scene.ts";
import { abiVersions, scriptGuest } from "../support/wasm/guests.ts";

const routes = {
  "/read": `
request arguments
request get 0 :method
request get 0 :path
request get 0 :authority
request get 0 :scheme
request get 0 X-Mixed
request get 0 x-twice
request get 0 x-none
request get 9 x-mixed
request get 0 cookie
request mapsize 0
request pairs 0`,
  "/change": `
request add 0 x-new 1
request add 0 x-twice c
request replace 0 x-old new
request replace 0 x-absent made
request remove 0 x-gone
request remove 0 x-none
request get 0 x-new
request get 0 x-gone
request get 0 x-old
request add 9 x y
request remove 9 x`,
  "/all": `request setpairs 0 :method=GET :path=/all :scheme=http x-only=this x-only=that x-asked=all`,
  "/path": "request replace 0 :path /other",
  "/method": "request replace 0 :method DELETE",
  "/authority": "request replace 0 :authority other.test",
  "/added": "request add 0 :path /other",
  "/removed": "request remove 0 :path",
  "/same": "request replace 0 :path /same\nrequest replace 0 :method GET",
  "/bad": `
request add 0 x%20y 1
request add 0 x-line a%0D%0Ax-smuggled:%20b
request add 0 x-zero a%00x-smuggled%00b
request add 0 Transfer-Encoding chunked
request replace 0 content-length 3
request add 0 connection x-kept
request replace 0 host other.test
request add 0 x-kept yes`,
  "/response": `
response arguments
response get 2 :status
response get 2 x-service
response get 2 x-none
response add 2 x-added 1
response add 2 set-cookie a=1
response add 2 set-cookie b=2
response replace 2 x-service replaced
response remove 2 date
response pairs 2
response get 0 :path
response get 0 x-mixed
log get 2 :status
log get 0 :path`,
  "/status": `response replace 2 :status 418`,
  "/wrong-status": `response replace 2 :status 99
response replace 2 content-length 1
response add 2 x-line a%0Ab`,
  "/put": `request get 0 user-agent
request put 0 x-seen last`,
};

const missing = { "0.1.0": "0 ", "0.2.0": "1", "0.2.1": "1" };

for (const hosts of guestHosts) {
  for (const abi of abiVersions) {
    describe(`fields of a guest of ABI ${abi} in ${hosts}`, () => {
      let scene: GuestScene;
      before(async () => {
        scene = await GuestScene.start({ bytes: await scriptGuest(abi), hosts, routes });
      });
      after(() => scene[Symbol.asyncDispose]());

      it("reads fields and pseudo-fields, whatever the case", async () => {
        const headers = { "X-mixed": "Value", "x-twice": ["a", "b"], cookie: "c=1; d=2" };
        await scene.ask("/read?x=1", { headers });
        const results = await scene.results();
        const end = abi === "0.1.0" ? "0" : "1";
        assert.match(results["request arguments"] ?? "", new RegExp(`^\\d+ ${end} `));
        assert.equal(results["request get 0 :method"], "0 GET");
        assert.equal(results["request get 0 :path"], "0 /read?x=1");
        assert.match(results["request get 0 :authority"] ?? "", /^0 127\.0\.0\.1:\d+$/);
        assert.equal(results["request get 0 :scheme"], "0 http");
        assert.equal(results["request get 0 X-Mixed"], "0 Value");
        assert.equal(results["request get 0 x-twice"], "0 a, b");
        assert.equal(results["request get 0 cookie"], "0 c=1; d=2");
        assert.equal(results["request get 0 x-none"], missing[abi]);
        assert.equal(results["request get 9 x-mixed"], "2");
        const pairs = (results["request pairs 0"] ?? "").slice(2).split(" ");
        assert.ok(pairs.includes(":path=/read?x=1"), pairs.join());
        assert.ok(pairs.includes("x-mixed=Value"), pairs.join());
        assert.equal(Number(results["request arguments"]?.split(" ")[0]), pairs.length);
        assert.match(results["request mapsize 0"] ?? "", /^0 [1-9]\d+$/);
      });

      it("adds, replaces and removes fields of a request", async () => {
        const headers = { "x-twice": ["a", "b"], "x-old": ["1", "2"], "x-gone": "1" };
        const { forwarded } = await scene.ask("/change", { headers });
        const results = await scene.results();
        assert.equal(forwarded?.headers["x-new"], "1");
        assert.equal(forwarded?.headers["x-twice"], "a, b, c");
        assert.equal(forwarded?.headers["x-old"], "new");
        assert.equal(forwarded?.headers["x-absent"], "made");
        assert.equal(forwarded?.headers["x-gone"], undefined);
        assert.equal(results["request get 0 x-new"], "0 1");
        assert.equal(results["request get 0 x-gone"], missing[abi]);
        assert.equal(results["request get 0 x-old"], "0 new");
        assert.equal(results["request remove 0 x-none"], "0");
        assert.equal(results["request add 9 x y"], "2");
        assert.equal(results["request remove 9 x"], "2");
      });

      it("sets all fields at once", async () => {
        await scene.ask("/all", { headers: { "x-before": "1" } });
        const forwarded = scene.forwardedAs("all");
        assert.equal(forwarded?.headers["x-only"], "this, that");
        assert.equal(forwarded?.headers["x-before"], undefined);
        assert.equal(forwarded?.url, "/all");
      });

      it("changes nothing that the route was found by: its request gets the fail mode", async () => {
        for (const path of ["/path", "/method", "/added", "/removed"]) {
          const { forwarded, status } = await scene.ask(path);
          assert.deepEqual([path, status, forwarded], [path, 503, undefined]);
        }
        assert.equal((await scene.ask("/same")).forwarded?.url, "/same");
      });

      it("tells the service another host", async () => {
        const { forwarded, status } = await scene.ask("/authority");
        assert.deepEqual([status, forwarded?.headers["host"]], [200, "other.test"]);
      });

      it("sends no field that is none, and none of the message's framing", async () => {
        const { forwarded, status } = await scene.ask("/bad", { body: "body" });
        assert.equal(status, 200);
        assert.equal(forwarded?.body, "body");
        assert.equal(forwarded?.headers["x-smuggled"], undefined);
        assert.equal(forwarded?.headers["x-kept"], "yes");
        assert.match(forwarded?.headers["host"] ?? "", /^127\.0\.0\.1/);
      });

      it("reads and changes the fields of a response", async () => {
        const { headers } = await scene.ask("/response", { headers: { "x-mixed": "v" } });
        const results = await scene.results("response");
        assert.equal(headers["x-added"], "1");
        assert.equal(headers["x-service"], "replaced");
        assert.deepEqual(headers["set-cookie"], ["a=1", "b=2"]);
        assert.equal(results["response get 2 :status"], "0 200");
        assert.equal(results["response get 2 x-service"], "0 yes");
        assert.equal(results["response get 2 x-none"], missing[abi]);
        assert.match(results["response pairs 2"] ?? "", /^0 :status=200 .*set-cookie=a=1 set-cookie=b=2/);
        assert.equal(results["response get 0 :path"], "0 /response");
        assert.equal(results["response get 0 x-mixed"], "0 v");
        assert.equal(await scene.result("log get 2 :status"), "0 200");
        assert.equal(await scene.result("log get 0 :path"), "0 /response");
      });

      it("changes the status of a response to one that there is", async () => {
        assert.equal((await scene.ask("/status")).status, 418);
        const { status, body, headers } = await scene.ask("/wrong-status");
        assert.equal(status, 200);
        assert.equal(body, "GET /wrong-status ");
        assert.doesNotMatch((headers["x-line"] as string) ?? "", /\n/);
      });

      it("keeps values from one call to another", async () => {
        const { forwarded } = await scene.ask("/put", { headers: { "user-agent": "x y" } });
        assert.equal(forwarded?.headers["x-seen"], "x y");
      });
    });
  }
}
