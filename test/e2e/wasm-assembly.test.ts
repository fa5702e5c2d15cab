// A filter built with an SDK as its makers intend: AssemblyScript classes, in a real sidecar.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { EndpointServer } from "../support/endpoint-server.ts";
import { GuestScene, guestHosts } from "../support/wasm/guest-scene.ts";
import { assemblyGuest } from "../support/wasm/guests.ts";

for (const hosts of guestHosts) {
  describe(`a filter by the AssemblyScript SDK in ${hosts}`, () => {
    const called = new EndpointServer((_request, response) => response.end("from the call"));
    let scene: GuestScene;
    before(async () => {
      await called.listen();
      scene = await GuestScene.start({
        bytes: await assemblyGuest(),
        hosts,
        routes: { "/a": "of the policy", "/b": "of another route" },
        entry: {
          clusters: { called: called.url },
          // It is well, and not to be ended because the machine of a test is busy.
          limits: { timeMs: 5_000 },
          manifest: { needs: { body: { requestBytes: 65_536 } } },
        },
      });
    });
    after(async () => {
      await scene[Symbol.asyncDispose]();
      called.close();
    });

    it("reads, adds, replaces and removes fields, with its configuration", async () => {
      const { forwarded, headers } = await scene.ask("/a?x=1", { headers: { "x-unwanted": "1" } });
      assert.equal(forwarded?.headers["x-path"], "/a?x=1");
      assert.equal(forwarded?.headers["x-configuration"], "of the policy");
      assert.equal(forwarded?.headers["x-unwanted"], undefined);
      assert.equal(headers["x-by"], "assembly");
      assert.equal((await scene.ask("/b")).forwarded?.headers["x-configuration"], "of another route");
    });

    it("refuses", async () => {
      const { status, body, headers } = await scene.ask("/a", { headers: { "x-refuse": "1" } });
      // It sees its own answer on the way back, too.
      assert.deepEqual([status, body, headers["x-by"]], [403, "refused by a guest", "assembly, assembly"]);
    });

    it("changes a body", async () => {
      assert.equal((await scene.ask("/a", { body: ["some ", "body"] })).forwarded?.body, "SOME BODY");
    });

    it("waits for a call", async () => {
      const { forwarded } = await scene.ask("/a", { headers: { "x-call": "1" } });
      assert.equal(forwarded?.headers["x-called"], "from the call");
    });

    it("logs when all is over", async () => {
      await scene.ask("/a");
      await scene.sidecar.line(({ msg }) => msg === "[INFO]: assembly: logged 200");
    });

    it("may trap when no policy has it any more", async () => {
      scene.sidecar.setPolicy({ plugins: [] });
      // The SDK knows nothing of roots that end.
      // What a thread says at its end may come too late.
      if (hosts === "isolate")
        await scene.sidecar.line(({ msg }) => /abort: Key does not exist/.test(String(msg)));
      else await scene.sidecar.line(({ msg, revision }) => msg === "policy in force" && revision !== 1);
      assert.equal((await scene.ask("/a")).status, 200);
      assert.ok(!scene.sidecar.lines.some(({ level }) => Number(level) >= 50));
    });
  });
}
