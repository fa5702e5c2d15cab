// Bodies as proxy-wasm guests see and change them, in both directions; local replies, and the effects of a pause.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { GuestScene, guestHosts } from "../support/wasm/guest-scene.ts";
import { scriptGuest } from "../support/wasm/guests.ts";

const limit = 65_536;
const entry = {
  manifest: { needs: { body: { requestBytes: limit, responseBytes: limit } } },
} as const;

const routes = {
  "/look": `
request arguments
requestBody.end arguments
requestBody.end size 0
requestBody.end read 0 0 4096
requestBody.end read 0 2 3
requestBody.end read 0 99999 3
requestBody.end read 5 0 3
requestBody.end read 1 0 3
responseBody.end read 1 0 4096`,
  "/buffered": `
requestBody return 1
requestBody.end return 0
requestBody.end size 0
requestBody.end read 0 0 100000`,
  "/prepend": `
requestBody return 1
requestBody.end write 0 0 0 before-
requestBody.end return 0`,
  "/append": `
requestBody return 1
requestBody.end write 0 4294967295 0 -after
requestBody.end return 0`,
  "/replace": `
requestBody return 1
requestBody.end write 0 0 4294967295 replaced
requestBody.end size 0
requestBody.end return 0`,
  "/inject": `
requestBody return 1
requestBody.end write 0 1 2 XYZ
requestBody.end return 0`,
  "/empty": `
requestBody return 1
requestBody.end write 0 0 4294967295
requestBody.end return 0`,
  "/answer-prepend": `responseBody return 1
responseBody.end write 1 0 0 before-
responseBody.end return 0`,
  "/answer-replace": `responseBody return 1
responseBody.end write 1 0 4294967295 replaced
responseBody.end return 0
response remove 2 content-length`,
  "/answer-longer": `responseBody return 1
responseBody.end writelong 1 0 4294967295 50000
responseBody.end return 0`,
  "/answer-stream": `responseBody.end write 1 4294967295 0 !`,
  "/refuse": `request respond 403 not%20you refused x-why=because content-type=text/plain`,
  "/refuse-paused": `request respond 429 slow%20down
request return 1`,
  "/refuse-body": `requestBody.end respond 422 bad%20body
requestBody return 1`,
  "/refuse-response": `response respond 502 hidden why x-why=because`,
  "/refuse-wrongly": `request respond 99 x
request return 1`,
  "/refuse-bad-fields": `request respond 200 body why x-a=1%0D%0Ax-b:%202 content-length=9999 transfer-encoding=chunked
request return 1`,
  "/close": `request close 0
request return 1`,
  "/forever": `request return 1`,
  "/self": `request resume 0
request return 1`,
};

for (const hosts of guestHosts) {
  describe(`bodies of a guest in ${hosts}`, () => {
    let scene: GuestScene;
    before(async () => {
      scene = await GuestScene.start({ bytes: await scriptGuest(), hosts, routes, entry });
    });
    after(() => scene[Symbol.asyncDispose]());

    const forwardedOf = async (path: string, body: string | readonly string[]): Promise<string | undefined> =>
      (await scene.ask(path, { body })).forwarded?.body;

    it("reads a body and parts of it", async () => {
      const { forwarded } = await scene.ask("/look", { body: "0123456789" });
      const results = await scene.results("requestBody");
      assert.equal(forwarded?.body, "0123456789");
      assert.match(results["request arguments"] ?? "", /^\d+ 0 /);
      assert.equal(results["requestBody.end read 0 0 4096"], "0 0123456789");
      assert.equal(results["requestBody.end size 0"], "0 10");
      assert.equal(results["requestBody.end arguments"], "10 1 0");
      assert.equal(results["requestBody.end read 0 2 3"], "0 234");
      assert.match(results["requestBody.end read 0 99999 3"] ?? "", /^(0 |2)$/);
      assert.match(results["requestBody.end read 1 0 3"] ?? "", /^[12]$/);
      assert.match(results["requestBody.end read 5 0 3"] ?? "", /^[12]$/);
      assert.equal(await scene.result("responseBody.end read 1 0 4096"), "0 POST /look 0123456789");
    });

    it("is not called for a body that is not there", async () => {
      await scene.ask("/look");
      assert.deepEqual(
        Object.keys(await scene.results("request arg")).filter((line) => line.startsWith("requestBody")),
        [],
      );
    });

    it("has all of a chunked body when it paused until its end", async () => {
      assert.equal(await forwardedOf("/buffered", ["abc", "def", "ghi"]), "abcdefghi");
      assert.equal((await scene.results("requestBody"))["requestBody.end read 0 0 100000"], "0 abcdefghi");
    });

    it("prepends, appends, replaces, injects and empties", async () => {
      assert.equal(await forwardedOf("/prepend", "body"), "before-body");
      assert.equal(await forwardedOf("/append", "body"), "body-after");
      assert.equal(await forwardedOf("/replace", "body"), "replaced");
      assert.equal(await forwardedOf("/replace", ["bo", "dy"]), "replaced");
      assert.equal(await forwardedOf("/inject", "body"), "bXYZy");
      assert.equal(await forwardedOf("/empty", "body"), "");
      assert.equal(await forwardedOf("/prepend", "\xff\x00\xfe"), "before-\xff\x00\xfe");
    });

    it("refuses a body beyond its limit with 413 rather than let it past", async () => {
      const { status, forwarded } = await scene.ask("/buffered", { body: "x".repeat(limit + 1) });
      assert.equal(status, 413);
      assert.equal(forwarded, undefined);
      assert.equal(await forwardedOf("/buffered", "x".repeat(limit)), "x".repeat(limit));
    });

    it("changes the body of a response", async () => {
      assert.equal((await scene.ask("/answer-prepend")).body, "before-GET /answer-prepend ");
      assert.equal((await scene.ask("/answer-replace")).body, "replaced");
      assert.equal((await scene.ask("/answer-longer")).body, "x".repeat(50_000));
      assert.match((await scene.ask("/answer-stream")).body, /^GET \/answer-stream !$/);
    });

    it("answers in place of the service", async () => {
      const { status, body, headers, forwarded } = await scene.ask("/refuse");
      assert.deepEqual([status, body, forwarded], [403, "not you", undefined]);
      assert.equal(headers["x-why"], "because");
      assert.equal(headers["content-type"], "text/plain");
      const paused = await scene.ask("/refuse-paused");
      assert.deepEqual([paused.status, paused.body], [429, "slow down"]);
    });

    it("answers at a request's body, and in place of a response", async () => {
      const late = await scene.ask("/refuse-body", { body: "x" });
      assert.deepEqual([late.status, late.body, late.forwarded], [422, "bad body", undefined]);
      const hidden = await scene.ask("/refuse-response");
      assert.deepEqual([hidden.status, hidden.body], [502, "hidden"]);
      assert.equal(hidden.headers["x-service"], undefined);
    });

    it("answers with nothing that is no answer", async () => {
      const { status } = await scene.ask("/refuse-wrongly");
      assert.ok(status >= 500, String(status));
      const bad = await scene.ask("/refuse-bad-fields");
      assert.equal(bad.headers["x-b"], undefined);
      if (bad.status === 200) assert.equal(bad.body, "body");
    });

    it("ends a request that the guest closes, and one that it never resumes", async () => {
      const closed = await scene.ask("/close").catch(() => undefined);
      assert.ok(closed === undefined || closed.status >= 500);
      assert.equal(closed?.forwarded, undefined);
      const forever = await scene.ask("/forever");
      assert.equal(forever.status, 503);
      assert.equal(forever.forwarded, undefined);
    });

    it("goes on with a request that was resumed before it was paused", async () => {
      assert.equal((await scene.ask("/self")).status, 200);
    });
  });
}
