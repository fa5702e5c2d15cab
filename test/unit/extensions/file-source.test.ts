import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { createFileSource } from "../../../src/extensions/file-source.ts";
import { bundleOf, moduleOf } from "./sample-packages.ts";
import { testSource } from "./source-suite.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "outrigger-packages-"));
  folders.push(made);
  return made;
}

const fetchFrom = (root: string | undefined, location: string, version?: string): Promise<Buffer> =>
  createFileSource(root).fetch({ name: "geo", location, version }, AbortSignal.timeout(5_000));

testSource("file:", async () => {
  const dir = await folder();
  return {
    source: createFileSource(dir),
    async put(version, bytes, signature) {
      await writeFile(join(dir, `geo@${version}.wasm`), bytes);
      if (signature !== undefined) await writeFile(join(dir, `geo@${version}.wasm.sig`), `${signature}\n`);
    },
    all: `file:${dir}`,
    location: (version) => (version === undefined ? `file:${dir}` : `file:${dir}/geo@${version}.wasm`),
    lose: async () => await rm(dir, { recursive: true }),
  };
});

test("OUTRIGGER_PLUGIN_DIR: what is below it is read, by a relative path too, and nothing else", async () => {
  const root = await folder();
  const outside = await folder();
  await writeFile(join(root, "geo.wasm"), moduleOf());
  await writeFile(join(outside, "geo.wasm"), moduleOf());
  await symlink(join(outside, "geo.wasm"), join(root, "link.wasm"));
  await mkdir(`${root}-beside`);
  folders.push(`${root}-beside`);
  await writeFile(join(`${root}-beside`, "geo.wasm"), moduleOf());
  for (const location of ["file:geo.wasm", `file:${root}/geo.wasm`, `file://${root}/geo.wasm`])
    assert.deepEqual(await fetchFrom(root, location), moduleOf());
  for (const path of [
    `${outside}/geo.wasm`,
    `${root}/../${outside.split("/").at(-1)}/geo.wasm`,
    `${root}/link.wasm`,
    `${root}-beside/geo.wasm`,
    // Whether something is there is not told either.
    `${outside}/gone.wasm`,
  ])
    await assert.rejects(fetchFrom(root, `file:${path}`), {
      name: "PackageError",
      message: /is outside of OUTRIGGER_PLUGIN_DIR$/,
    });
  assert.deepEqual(await fetchFrom(undefined, `file:${outside}/geo.wasm`), moduleOf());
  await assert.rejects(fetchFrom(undefined, "file:geo.wasm"), {
    name: "PackageError",
    message: /no absolute path/,
  });
});

test("a folder holds bundles as well as modules", async () => {
  const dir = await folder();
  await writeFile(join(dir, "geo@1.2.0.cjs"), bundleOf());
  assert.deepEqual(await fetchFrom(dir, `file:${dir}`, "1.2.0"), bundleOf());
  await assert.rejects(fetchFrom(dir, `file:${dir}`), { name: "PackageError", message: /say a version/ });
});

test("a pipe and a device are not read, nor waited for", async () => {
  const dir = await folder();
  execFileSync("mkfifo", [join(dir, "pipe")]);
  for (const path of [join(dir, "pipe"), "/dev/zero"])
    await assert.rejects(fetchFrom(undefined, `file:${path}`), {
      name: "PackageError",
      message: /is not a regular file/,
    });
});

testSource("file: by an index", async () => {
  const dir = await folder();
  const plugins: { name: string; version: string; file: string }[] = [];
  return {
    source: createFileSource(dir),
    async put(version, bytes, signature) {
      await writeFile(join(dir, `${version}.wasm`), bytes);
      if (signature !== undefined) await writeFile(join(dir, `${version}.wasm.sig`), signature);
      plugins.push({ name: "geo", version, file: `${version}.wasm` });
      await writeFile(join(dir, "index.json"), JSON.stringify({ plugins }));
    },
    location: (version) => `file:${dir}/${version === undefined ? "index.json" : `${version}.wasm`}`,
    all: `file:${dir}/index.json`,
    lose: async () => await rm(dir, { recursive: true }),
  };
});

test("an index names nothing outside of OUTRIGGER_PLUGIN_DIR", async () => {
  const dir = await folder();
  const index = { plugins: [{ name: "geo", version: "1.2.0", file: "../../../etc/hostname" }] };
  await writeFile(join(dir, "index.json"), JSON.stringify(index));
  await assert.rejects(fetchFrom(dir, "file:index.json", "1.2.0"), /is outside of OUTRIGGER_PLUGIN_DIR$/);
});
