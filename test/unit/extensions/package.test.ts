import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { contractVersion } from "../../../src/extensions/manifest.ts";
import {
  digestOf,
  maxManifestBytes,
  maxPackageBytes,
  openPackage,
  readPackage,
  writePackage,
} from "../../../src/extensions/package.ts";
import { PackageError } from "../../../src/extensions/package-error.ts";
import { customSectionBytes } from "../../../src/extensions/wasm-sections.ts";
import { bundleOf, emptyModule, moduleOf, sampleManifest } from "./sample-packages.ts";

const geo = { name: "geo" };
const mark = "//outrigger-manifest ";
const section = (json: string): Buffer => customSectionBytes("outrigger.manifest", Buffer.from(json));
const withManifest = (json: string): Buffer => Buffer.concat([emptyModule, section(json)]);
const text = JSON.stringify({ name: "geo", version: "1.2.0" });

test("a module and a bundle give their manifest back, with the digest of the whole file", () => {
  for (const [bytes, kind] of [
    [moduleOf({ priority: 41 }), "wasm"],
    [bundleOf({ priority: 41 }), "js"],
  ] as const) {
    const found = readPackage(bytes, geo);
    assert.equal(found.kind, kind);
    assert.equal(found.manifest.priority, 41);
    assert.equal(found.sha256, digestOf(bytes));
    assert.equal(found.bytes, bytes);
  }
});

test("the same code and manifest are the same bytes, in whatever order its members stood, written once or twice", () => {
  for (const code of [emptyModule, Buffer.from("exports.a = 1;\n")]) {
    const options = { type: "object", properties: { a: { type: "string" }, b: { type: "number" } } };
    const turned = { properties: { b: { type: "number" }, a: { type: "string" } }, type: "object" };
    const once = writePackage(code, sampleManifest({ options, priority: 9 }));
    assert.deepEqual(once, writePackage(code, sampleManifest({ priority: 9, options: turned })));
    assert.deepEqual(once, writePackage(once, sampleManifest({ options, priority: 9 })));
    assert.notDeepEqual(once, writePackage(code, sampleManifest({ options, priority: 10 })));
  }
});

test("a manifest stays on its line, whatever its description holds", () => {
  const description = "a\u2028process.exit()\u2029b\nc";
  const bytes = bundleOf({ description });
  assert.equal(readPackage(bytes, geo).manifest.description, description);
  assert.equal(bytes.toString().split(/[\n\r\u2028\u2029]/u).length, 3);
});

test("any proxy-wasm filter needs no manifest: the policy says what it would", () => {
  const plain = readPackage(emptyModule, geo);
  assert.equal(plain.manifest.name, "geo");
  assert.equal(plain.manifest.version, "0.0.0");
  const told = readPackage(emptyModule, { ...geo, version: "2.1.0", manifest: { priority: 12 } });
  assert.deepEqual([told.manifest.version, told.manifest.priority], ["2.1.0", 12]);
});

test("a package for a later contract can be looked at, and does not run", () => {
  const bytes = moduleOf({ apiVersion: "^2.0.0" });
  assert.equal(openPackage(bytes).manifest.apiVersion, "^2.0.0");
  assert.throws(() => readPackage(bytes, geo), {
    name: "PackageError",
    message: `the package is for the plugin contract "^2.0.0", and this is ${contractVersion}`,
  });
});

const refused: readonly [what: string, bytes: () => Buffer, message: RegExp][] = [
  ["nothing", () => Buffer.alloc(0), /^the package is empty$/],
  ["another kind of file", () => Buffer.from("\x7fELF\x02\x01\x01\0rest", "latin1"), /begins with 7f454c46/],
  ["JavaScript without a manifest", () => Buffer.from("exports.a = 1"), /neither .* nor a bundle/],
  ["a module that ends in its header", () => emptyModule.subarray(0, 6), /ends within its header/],
  [
    "a component",
    () => Buffer.from("\0asm\x0d\0\x01\0", "latin1"),
    /has version 0x1000d, not 1: it is a component/,
  ],
  [
    "a section that says it is longer than the file",
    () => Buffer.concat([emptyModule, Buffer.of(1, 200, 1)]),
    /^section 1 at byte 8 says it has 200 bytes, and 0 are left$/,
  ],
  [
    "a section whose size has no end",
    () => Buffer.concat([emptyModule, Buffer.of(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0)]),
    /the size of section 1 at byte 8 is cut off, or more than 32 bits/,
  ],
  [
    "a section whose size is over 32 bits",
    () => Buffer.concat([emptyModule, Buffer.of(1, 0xff, 0xff, 0xff, 0xff, 0x7f)]),
    /more than 32 bits/,
  ],
  [
    "a name that is longer than its section",
    () => Buffer.concat([emptyModule, Buffer.of(0, 2, 9, 65)]),
    /the name of the section at byte 8 is longer than the section/,
  ],
  [
    "a name that is not UTF-8",
    () => Buffer.concat([emptyModule, Buffer.of(0, 2, 1, 0xff)]),
    /the name of the section at byte 8 is not UTF-8/,
  ],
  [
    "an unknown section",
    () => Buffer.concat([emptyModule, Buffer.of(77, 0)]),
    /an unknown section 77 at byte 8/,
  ],
  [
    "a second section of one kind",
    () => Buffer.concat([emptyModule, Buffer.of(1, 1, 0), Buffer.of(1, 1, 0)]),
    /a second section 1 at byte 11/,
  ],
  [
    "a second manifest",
    () => Buffer.concat([emptyModule, section(text), section(text)]),
    /a second section "outrigger.manifest" at byte \d+/,
  ],
  ["a manifest that is not JSON", () => withManifest("{"), /^the manifest is not JSON$/],
  [
    "a manifest that is nested without end",
    () => withManifest("[".repeat(9_000)),
    /nested deeper than 32 levels/,
  ],
  [
    "a manifest of more than 64 KiB",
    () => withManifest(JSON.stringify({ name: "geo", version: "1.2.0", pad: "x".repeat(maxManifestBytes) })),
    /the manifest has \d+ bytes, and 65536 are the most/,
  ],
  ["a manifest without a version", () => withManifest('{"name":"geo"}'), /wrong at "version"/],
  [
    "a manifest with a member that nobody knows",
    () => withManifest('{"name":"geo","version":"1.2.0","rights":"all"}'),
    /rights/,
  ],
  [
    "options that are no JSON Schema",
    () => withManifest('{"name":"geo","version":"1.2.0","options":{"type":"string","pattern":"("}}'),
    /the manifest's options are no usable JSON Schema/,
  ],
  [
    "a manifest of another plugin",
    () => moduleOf({ name: "other" }),
    /^the package is of "other", not "geo"$/,
  ],
  ["a bundle that ends within its manifest", () => Buffer.from(`${mark}${text}`), /ends within its manifest/],
  [
    "a bundle that is not UTF-8",
    () => Buffer.concat([bundleOf(), Buffer.of(0xff)]),
    /the bundle is not UTF-8/,
  ],
  [
    "a manifest whose line ends earlier for JavaScript",
    () => Buffer.from(`${mark}{"name":"geo",\u2028"version":"1.2.0"}\nexports.a = 1`),
    /more than one line/,
  ],
  ["more than 16 MiB", () => Buffer.alloc(maxPackageBytes + 1), /16777217 bytes, and 16777216 are the most/],
];

for (const [what, bytes, message] of refused) {
  test(`refused: ${what}`, () => {
    assert.throws(() => readPackage(bytes(), geo), { name: "PackageError", message });
  });
}

test("refused: a manifest in the policy beside one in the package", () => {
  assert.throws(() => readPackage(moduleOf(), { ...geo, manifest: {} }), {
    name: "PackageError",
    message: /the policy gives another/,
  });
});

test("cut off anywhere or with any bit turned, a package is refused, or is another one by its digest", () => {
  const originals = [
    moduleOf({ description: "x".repeat(200), options: { type: "object" } }),
    bundleOf({ description: "x".repeat(200), needs: { hosts: ["a.example:443"] } }),
  ];
  const damaged = fc.constantFrom(...originals).chain((bytes) =>
    fc.oneof(
      fc.nat({ max: bytes.length - 1 }).map((length) => ({ bytes, now: bytes.subarray(0, length) })),
      fc.nat({ max: bytes.length * 8 - 1 }).map((bit) => {
        const now = Buffer.from(bytes);
        now[bit >> 3] = (now[bit >> 3] as number) ^ (1 << (bit & 7));
        return { bytes, now };
      }),
    ),
  );
  fc.assert(
    fc.property(damaged, ({ bytes, now }) => {
      try {
        assert.notEqual(readPackage(now, geo).sha256, digestOf(bytes));
      } catch (error) {
        assert.ok(error instanceof PackageError, String(error));
      }
    }),
    { numRuns: 3_000 },
  );
});

test("whatever bytes follow the magic of a module, nothing but a PackageError comes of it", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (tail) => {
      try {
        readPackage(Buffer.concat([emptyModule, tail]), geo);
      } catch (error) {
        assert.ok(error instanceof PackageError, String(error));
      }
    }),
  );
});
