// Files that are no module, use another ABI, or do not start: the policy that names one is refused, and the error names
// it.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { GuestScene, guestHosts } from "../support/wasm/guest-scene.ts";
import { cGuest, scriptGuest } from "../support/wasm/guests.ts";

const mebibyte = 1_048_576;
const limits = { timeMs: 20, memoryMiB: 8 };

interface Odd {
  readonly bytes: () => Promise<Buffer>;
  readonly says: RegExp;
}

const odd = (...flags: string[]): (() => Promise<Buffer>) => {
  return () =>
    cGuest(
      "odd",
      flags.map((flag) => `-D${flag}`),
    );
};

const modules: Readonly<Record<string, Odd>> = {
  "an import that is not the ABI's": { bytes: odd("STRANGE_IMPORT"), says: /steal_the_keys/ },
  "an import from elsewhere": { bytes: odd("STRANGE_MODULE"), says: /readFileSync/ },
  "no version of the ABI": { bytes: odd("NO_VERSION"), says: /proxy_abi_version/ },
  "no allocator": { bytes: odd("NO_ALLOCATOR"), says: /proxy_on_memory_allocate/ },
  "more memory than it may have": { bytes: odd(`LARGE=${16 * mebibyte}`), says: /16|17 MiB|memory/ },
  "a start that spins": { bytes: odd("STARTS", "SPIN"), says: /too long/ },
  "a start that traps": { bytes: odd("STARTS", "TRAP"), says: /unreachable/ },
  "a machine that spins": { bytes: odd("SPIN_AT_START"), says: /too long/ },
  "a machine that refuses": { bytes: odd("REFUSES"), says: /start|refuse/ },
  text: { bytes: async () => Buffer.from("module.exports = {}"), says: /WebAssembly/ },
  nothing: { bytes: async () => Buffer.alloc(0), says: /empty/ },
  "half a module": { bytes: async () => (await scriptGuest()).subarray(0, 9_000), says: /./ },
};

// All at once: each is compiled.
before(async () => void (await Promise.all(Object.values(modules).map(({ bytes }) => bytes()))));

for (const hosts of guestHosts) {
  describe(`modules in ${hosts}`, () => {
    for (const [name, { bytes, says }] of Object.entries(modules)) {
      it(`${name}: refused with the extension's name and the reason`, async () => {
        const module = await bytes();
        let reason = "";
        try {
          await using scene = await GuestScene.start({
            bytes: module,
            hosts,
            startMs: 300,
            routes: { "/one": "" },
            entry: { limits },
          });
          assert.equal((await scene.ask("/one")).status, 503);
          reason = JSON.stringify(await scene.sidecar.line(({ level }) => Number(level) >= 50));
          assert.match(reason, /guest/);
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          reason = String(error);
        }
        assert.match(reason, says);
      });
    }

    it("a hook of another type than the ABI's: its requests get the fail mode", async () => {
      await using scene = await GuestScene.start({
        bytes: await cGuest("odd", ["-DWRONG_TYPE"]),
        hosts,
        routes: { "/one": "" },
        entry: { limits, failMode: "closed" },
      });
      const { status } = await scene.ask("/one");
      assert.ok(status === 503 || status === 200);
      assert.equal((await scene.ask("/other")).status, 200);
    });
  });
}
