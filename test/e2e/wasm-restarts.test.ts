// What happens to requests, this guest's and others', when a guest dies: fail modes, restarts, quarantine.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually } from "../support/redis.ts";
import { GuestScene, guestHosts } from "../support/wasm/guest-scene.ts";
import { scriptGuest } from "../support/wasm/guests.ts";

const routes = {
  "/trap": "request trap",
  "/spin": "request spin",
  "/late": "request add 0 x-by guest\nresponse trap",
  "/by": "request add 0 x-by guest\nresponse add 2 x-by guest",
  "/held": "request add 0 x-by guest\nresponse add 2 x-by guest",
};

for (const hosts of guestHosts) {
  const start = async (failMode: "open" | "closed", restartsPerMinute: number): Promise<Held> => {
    const release = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const scene = await GuestScene.start({
      bytes: await scriptGuest(),
      hosts,
      routes,
      entry: { failMode, limits: { timeMs: 1_000, restartsPerMinute } },
      serve: (request, response) => {
        if (request.url !== "/held") {
          response.end("answered");
          return;
        }
        arrived.resolve();
        void release.promise.then(() => response.end("answered late"));
      },
    });
    return { scene, release: release.resolve, arrived: arrived.promise };
  };

  describe(`a guest that dies in ${hosts}`, () => {
    it("fails closed: its request is answered 503 and not forwarded", async () => {
      const { scene } = await start("closed", 60);
      await using _ = scene;
      const trapped = await scene.ask("/trap");
      assert.deepEqual([trapped.status, trapped.forwarded], [503, undefined]);
      const late = await scene.ask("/late");
      assert.equal(late.status, 503);
      assert.notEqual(late.body, "answered");
    });

    it("fails open: its request goes on without it", async () => {
      const { scene } = await start("open", 60);
      await using _ = scene;
      const trapped = await scene.ask("/trap");
      assert.deepEqual([trapped.status, trapped.body], [200, "answered"]);
      const spun = await scene.ask("/spin");
      assert.deepEqual([spun.status, spun.body], [200, "answered"]);
      const late = await scene.ask("/late");
      assert.deepEqual([late.status, late.body], [200, "answered"]);
    });

    it("fails open in the middle of a body: no cache keeps what went on without it", async () => {
      await using scene = await GuestScene.start({
        bytes: await scriptGuest(),
        hosts,
        routes: { "/half": "responseBody.end trap" },
        entry: { failMode: "open", limits: { restartsPerMinute: 60, responseBytes: 1_000 } },
        further: ["cache"],
        pluginConfig: { cache: { ttlSeconds: 60 } },
      });
      for (const _ of ["first", "second"]) {
        const { status, headers } = await scene.ask("/half");
        assert.deepEqual([status, headers["x-cache"]], [200, "MISS"]);
      }
    });

    it("is started again, by itself", async () => {
      const { scene } = await start("closed", 60);
      await using _ = scene;
      assert.equal((await scene.ask("/trap")).status, 503);
      await eventually("the guest is back", async () => (await scene.ask("/by")).status === 200);
      assert.equal((await scene.ask("/by")).headers["x-by"], "guest");
      const died = await scene.sidecar.line(({ msg }) => /started again/.test(String(msg)));
      assert.match(JSON.stringify(died), /"guest"/);
      assert.ok(Number(died["level"]) >= 40);
    });

    it("is left out after too many restarts, and says so", async () => {
      const { scene } = await start("open", 1);
      await using _ = scene;
      const isQuarantined = async (): Promise<boolean> =>
        /^outrigger_plugin_quarantined\{[^}]*plugin="guest"[^}]*\} 1$/m.test(await scene.sidecar.metrics());
      assert.equal(await isQuarantined(), false);
      await eventually("quarantine", async () => {
        await scene.ask("/trap");
        return isQuarantined();
      });
      const after = await scene.ask("/by");
      assert.deepEqual([after.status, after.body, after.headers["x-by"]], [200, "answered", undefined]);
    });

    it("that others are with: theirs are answered all the same", async () => {
      const { scene, release, arrived } = await start("closed", 60);
      await using _ = scene;
      const held = scene.ask("/held");
      await arrived;
      assert.equal((await scene.ask("/trap")).status, 503);
      await eventually("the guest is back", async () => (await scene.ask("/by")).status === 200);
      release();
      const { status, body, headers } = await held;
      assert.deepEqual([status, body, headers["x-by"]], [200, "answered late", "guest"]);
    });

    it("while others are asked: they wait for the one in its place", async () => {
      const { scene } = await start("closed", 60);
      await using _ = scene;
      const all = await Promise.all(["/by", "/by", "/trap", "/by", "/by"].map((path) => scene.ask(path)));
      assert.deepEqual(
        all.map(({ status }) => status),
        [200, 200, 503, 200, 200],
      );
    });
  });
}

interface Held {
  readonly scene: GuestScene;
  readonly release: () => void;
  readonly arrived: Promise<void>;
}
