// Where isolated-vm cannot be loaded, guests run in threads, and the log says so.
import assert from "node:assert/strict";
import { registerHooks } from "node:module";
import { it } from "node:test";
import { GuestScene } from "../support/wasm/guest-scene.ts";
import { cGuest } from "../support/wasm/guests.ts";

it("runs guests in threads where there are no isolates", async () => {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier === "isolated-vm") throw new Error("not built for this platform");
      return next(specifier, context);
    },
  });
  try {
    await using scene = await GuestScene.start({ bytes: await cGuest("fields"), routes: { "/a": "" } });
    const { forwarded } = await scene.ask("/a", { headers: { "user-agent": "tester" } });
    assert.equal(forwarded?.headers["x-agent"], "tester");
    const warning = await scene.sidecar.line(({ msg }) => /isolated-vm cannot be loaded/.test(String(msg)));
    assert.equal(warning["reason"], "not built for this platform");
  } finally {
    hooks.deregister();
  }
});
