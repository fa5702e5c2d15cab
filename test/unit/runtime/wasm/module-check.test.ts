// Which modules are refused before V8 sees them, and which parts are rewritten.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkModule } from "../../../../src/runtime/wasm/module-check.ts";
import { importNames } from "../../../../src/runtime/wasm/shim-text.ts";
import { abiVersions, cGuest, scriptGuest } from "../../../support/wasm/guests.ts";

const header = Buffer.from("\0asm\x01\0\0\0", "latin1");
const section = (id: number, ...bytes: number[]): Buffer => Buffer.from([id, bytes.length, ...bytes]);
const moduleOf = (...sections: Buffer[]): Buffer => Buffer.concat([header, ...sections]);
const text = (name: string): number[] => [name.length, ...Buffer.from(name)];
const memory = section(5, 1, 0, 1);
const exported = (...names: string[]): Buffer =>
  section(7, names.length, ...names.flatMap((name) => [...text(name), 0, 0]));
const marked = exported("proxy_abi_version_0_2_1", "malloc");
const check = (module: Buffer, memoryMiB = 4): ReturnType<typeof checkModule> =>
  checkModule(module, importNames(), memoryMiB);

test("says of a module which hooks and which ABI it has", async () => {
  for (const abi of abiVersions) {
    const checked = check(await scriptGuest(abi), 16);
    assert.equal(checked.abi, abi);
    assert.ok(checked.exports.has("proxy_on_request_headers"));
  }
});

test("gives its memory a maximum, and its tables", () => {
  const found = check(moduleOf(section(4, 1, 0x70, 0, 1), section(5, 1, 0, 17), marked));
  assert.deepEqual(
    found.bytes.subarray(8, -marked.length),
    Buffer.concat([section(4, 1, 0x70, 1, 1, 0x80, 0x80, 8), section(5, 1, 1, 17, 64)]),
  );
  const lower = check(moduleOf(section(5, 1, 1, 1, 2), marked));
  assert.deepEqual(lower.bytes.subarray(8, -marked.length), section(5, 1, 1, 1, 2));
});

test("refuses what it must not run, and says why", async () => {
  const cases: readonly [Buffer, RegExp][] = [
    [Buffer.from("no module at all"), /version 0x/],
    [Buffer.alloc(0), /within its header/],
    [moduleOf(Buffer.from([5, 99, 1])), /says it has 99 bytes/],
    [moduleOf(section(5, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 1)), /too large/],
    [moduleOf(section(5, 1, 1, 1)), /ends too soon/],
    [moduleOf(memory), /no proxy-wasm module/],
    [moduleOf(memory, exported("proxy_abi_version_0_2_1")), /neither proxy_on_memory_allocate nor malloc/],
    [moduleOf(marked), /no memory of its own/],
    [moduleOf(section(5, 1, 0, 0x81, 1), marked), /needs 9 MiB of memory to start, and may have 4/],
    [moduleOf(section(5, 1, 3, 1, 2), marked), /shared or of 64 bits/],
    [moduleOf(section(5, 1, 4, 1), marked), /shared or of 64 bits/],
    [moduleOf(section(5, 2, 0, 1, 0, 1), marked), /several memories/],
    [moduleOf(section(1, 1, 0x5e, 0x7f, 0), memory, marked), /garbage-collected/],
    [moduleOf(section(4, 1, 0x70, 0, 0xff, 0xff, 0xff, 1), memory, marked), /tables is too large/],
    [
      moduleOf(section(2, 1, ...text("env"), ...text("proxy_fly"), 0, 0), memory, marked),
      /imports env\.proxy_fly, which is no function of proxy-wasm/,
    ],
    [
      moduleOf(section(2, 1, ...text("env"), ...text("memory"), 2, 0, 1), marked),
      /imports env\.memory, which is no function/,
    ],
  ];
  for (const [module, reason] of cases) assert.throws(() => check(module), reason);
  const whole = await cGuest("fields");
  for (let length = 0; length < whole.length; length += 7) {
    // The last of its sections say nothing that a guest needs.
    const isRefused = wasRefused(() => check(whole.subarray(0, length), 16));
    assert.ok(isRefused || length > whole.length / 2, `cut at ${length}`);
  }
});

function wasRefused(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    assert.match((error as Error).name, /^(MalformedModule|PackageError)$/);
    return true;
  }
}
