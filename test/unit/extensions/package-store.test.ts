import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { digestOf, maxPackageBytes } from "../../../src/extensions/package.ts";
import { PackagesRefused, PackageStore } from "../../../src/extensions/package-store.ts";
import { createFileSource } from "../../../src/extensions/file-source.ts";
import type { PackageSource, Wanted } from "../../../src/extensions/source.ts";
import { eventually } from "../../support/redis.ts";
import { bundleOf, emptyModule, entryOf, moduleOf } from "./sample-packages.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "outrigger-packages-"));
  folders.push(made);
  return made;
}

interface Scene {
  readonly plugins: string;
  readonly dir: string;
  readonly troubles: string[];
  readonly store: PackageStore;
  /** Another process that has the same folders. */
  readonly again: () => PackageStore;
}

async function scene(options: Partial<ConstructorParameters<typeof PackageStore>[0]> = {}): Promise<Scene> {
  const plugins = await folder();
  const dir = join(await folder(), "packages");
  const troubles: string[] = [];
  const again = (): PackageStore =>
    new PackageStore({
      sources: { file: createFileSource(plugins) },
      dir,
      onTrouble: (message) => troubles.push(message),
      ...options,
    });
  return { plugins, dir, troubles, store: again(), again };
}

/** Puts the bytes there and @returns the entry that pins them */
async function published(plugins: string, file: string, bytes: Buffer, given = {}) {
  await writeFile(join(plugins, file), bytes);
  return entryOf({ source: `file:${file}`, sha256: digestOf(bytes), ...given });
}

async function problems(work: Promise<unknown>) {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof PackagesRefused, String(error));
  return { all: error.problems, transient: error.transient, first: error.problems[0] };
}

test("packages come from their places once, then from the disk, whatever becomes of the place", async () => {
  const { plugins, dir, store, again } = await scene();
  const entries = {
    geo: await published(plugins, "geo.wasm", moduleOf()),
    rate: await published(plugins, "rate.cjs", bundleOf({ name: "rate" }), { runtime: "process" }),
  };
  const found = await store.packages(entries);
  assert.deepEqual([...found.keys()], ["geo", "rate"]);
  assert.equal(found.get("rate")?.kind, "js");
  assert.deepEqual(
    (await readdir(dir)).toSorted(),
    [entries.geo.sha256, entries.rate.sha256].map(String).toSorted(),
  );
  await rm(plugins, { recursive: true });
  assert.equal((await again().packages(entries)).get("geo")?.sha256, entries.geo.sha256);
  await rm(dir, { recursive: true });
  assert.equal((await store.packages(entries)).size, 2, "of the last policy they are in memory");
});

test("a kept package that was damaged is fetched again, and told of", async () => {
  const { plugins, dir, troubles, store, again } = await scene();
  const geo = await published(plugins, "geo.wasm", moduleOf());
  await store.packages({ geo });
  const kept = join(dir, String(geo.sha256));
  await writeFile(kept, "something else");
  assert.deepEqual((await again().packages({ geo })).get("geo")?.bytes, moduleOf());
  assert.match(troubles[0] ?? "", /is damaged/);
  assert.deepEqual(await readFile(kept), moduleOf());
});

test("packages that are too large together are neither all asked for nor kept", async () => {
  const asked: string[] = [];
  const plugins = await folder();
  const file = createFileSource(plugins);
  const counting: PackageSource = {
    ...file,
    fetch: (wanted, signal) => {
      asked.push(wanted.name);
      return file.fetch(wanted, signal);
    },
  };
  const { dir, store } = await scene({ maxBytes: moduleOf().length * 2, sources: { file: counting } });
  const entries: Record<string, Awaited<ReturnType<typeof published>>> = {};
  for (let count = 0; count < 30; count += 1) {
    const name = `p${count}`;
    entries[name] = await published(plugins, `${name}.wasm`, moduleOf({ name }));
  }
  const { all, transient } = await problems(store.packages(entries));
  assert.match(
    all.map(({ message }) => message).join(),
    /^the packages have \d+ bytes and more, and \d+ are/,
  );
  assert.equal(transient, false);
  assert.ok(asked.length < 10, String(asked.length));
  await assert.rejects(readdir(dir), { code: "ENOENT" });
});

test("bytes of another digest are never looked at, and may be others later", async () => {
  const { plugins, store } = await scene();
  const geo = await published(plugins, "geo.wasm", moduleOf());
  await writeFile(join(plugins, "geo.wasm"), "no package at all");
  const { first, transient } = await problems(store.packages({ geo }));
  assert.match(first?.message ?? "", RegExp(`is not what the policy pins \\(SHA-256 ${geo.sha256}\\)$`));
  assert.equal(transient, true);
  await writeFile(join(plugins, "geo.wasm"), moduleOf());
  assert.equal((await store.packages({ geo })).size, 1);
});

test("each extension whose package is not to be had is one problem, with its name and field", async () => {
  const { plugins, store } = await scene();
  const entries = {
    fine: await published(plugins, "fine.wasm", moduleOf({ name: "fine" })),
    unpinned: entryOf({ source: "file:geo.wasm" }),
    missing: entryOf({ source: "file:nothing.wasm", sha256: "0".repeat(64) }),
    elsewhere: entryOf({ source: "oci://registry.example/x:1", sha256: "0".repeat(64) }),
    lying: await published(plugins, "lying.wasm", moduleOf({ name: "honest" })),
    older: await published(plugins, "older.wasm", moduleOf({ name: "older" }), { version: "2.0.0" }),
    script: await published(plugins, "script.cjs", bundleOf({ name: "script" })),
  };
  const { all, transient } = await problems(store.packages(entries));
  const lines = all.map((each) => `${each.name} ${each.field ?? "-"} ${each.transient}: ${each.message}`);
  assert.deepEqual(lines.toSorted(), [
    "elsewhere source false: nothing is taken from oci: here",
    'lying - false: the package is of "honest", not "lying"',
    `missing source true: "nothing.wasm" does not exist`,
    'older version false: is "2.0.0", and the package is 1.2.0',
    'script runtime false: is "wasm", and the package is JavaScript',
    'unpinned sha256 false: is missing: run "outrigger policy apply", which fills it in',
  ]);
  assert.equal(transient, false);
});

test("a module without a manifest is what the policy says it is", async () => {
  const { plugins, store } = await scene();
  const given = { version: "3.1.0", manifest: { priority: 44, hooks: ["onRequest"] } };
  const filter = await published(plugins, "filter.wasm", emptyModule, given);
  const found = (await store.packages({ filter })).get("filter");
  assert.deepEqual([found?.manifest.version, found?.manifest.priority], ["3.1.0", 44]);
});

test("a place that never answers, or only trickles, ends with the time for the whole policy", async () => {
  const never = (): Promise<never> => new Promise(() => {});
  const silent: PackageSource = { fetch: never, signature: never, versions: never, list: never };
  const { store } = await scene({ sources: { file: silent }, limitMs: 60 });
  const entry = entryOf({ source: "file:x.wasm", sha256: "0".repeat(64) });
  const names = Array.from({ length: 20 }, (_, index) => [`x${index}`, entry] as const);
  const started = performance.now();
  const { all, transient } = await problems(store.packages(Object.fromEntries(names)));
  assert.ok(performance.now() - started < 20_000);
  assert.equal(all.length, 20);
  assert.equal(all[19]?.message, "no package within 60 ms");
  assert.equal(transient, true);
  await problems(store.resolve("x", entryOf({ source: "file:x.wasm" })));
});

test("more extensions than 64, or than fit, are refused before anything is fetched", async () => {
  const { store } = await scene();
  const entry = entryOf({ source: "file:x.wasm", sha256: "0".repeat(64) });
  const names = Array.from({ length: 65 }, (_, index) => [`x${index}`, entry] as const);
  const { first, transient } = await problems(store.packages(Object.fromEntries(names)));
  assert.equal(first?.message, "65 extensions are more than 64");
  assert.equal(transient, false);
});

test("the disk holds so many bytes: what was not used for longest goes, what is in use never", async () => {
  const one = (version: string) => moduleOf({ version, description: "x".repeat(400) });
  const size = one("1.0.0").length;
  const { plugins, dir, store } = await scene({ maxKeptBytes: size * 2 });
  const entries = [];
  for (const version of ["1.0.0", "1.0.1", "1.0.2"])
    entries.push(await published(plugins, `geo@${version}.wasm`, one(version)));
  const [first, second, third] = entries.map((geo) => ({ geo }));
  assert.ok(first && second && third);
  await store.packages(first);
  await store.packages(second);
  // The first one was used last.
  await store.packages(first);
  const old = new Date(Date.now() - 60_000);
  await utimes(join(dir, String(second.geo.sha256)), old, old);
  await store.packages(third);
  assert.deepEqual(
    (await readdir(dir)).toSorted(),
    [first.geo.sha256, third.geo.sha256].map(String).toSorted(),
  );
});

test("what the same policy names stays on disk, more than that or not", async () => {
  const { plugins, dir, store } = await scene({ maxKeptBytes: moduleOf().length });
  const geo = await published(plugins, "geo.wasm", moduleOf());
  await store.packages({ geo });
  const old = new Date(Date.now() - 60_000);
  await utimes(join(dir, String(geo.sha256)), old, old);
  const rate = await published(plugins, "rate.wasm", moduleOf({ name: "rate" }));
  await store.packages({ geo, rate });
  assert.equal((await readdir(dir)).length, 2);
});

test("a folder that cannot be written is told of, and the package counts", async () => {
  const { plugins, troubles, store } = await scene({ dir: "/proc/nowhere" });
  const geo = await published(plugins, "geo.wasm", moduleOf());
  assert.equal((await store.packages({ geo })).size, 1);
  assert.match(troubles[0] ?? "", /^the package could not be kept in \/proc\/nowhere/);
});

test("what a full disk had no room for is kept once it has, without another fetch", async (t) => {
  const disk = await folder();
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=128k", "outrigger-test", disk]).status !== 0) {
    t.skip("no file system can be mounted here");
    return;
  }
  try {
    const dir = join(disk, "packages");
    const { plugins, troubles, store } = await scene({ dir, retryKeepingMs: 20 });
    const filling = join(disk, "filling");
    await assert.rejects(writeFile(filling, Buffer.alloc(1_048_576)), { code: "ENOSPC" });
    const geo = await published(plugins, "geo.wasm", moduleOf());
    const rate = await published(plugins, "rate.wasm", moduleOf({ name: "rate" }));
    await store.packages({ geo, rate });
    // From now on it is another policy's, and the place has it no more.
    await store.packages({ geo });
    await rm(plugins, { recursive: true });
    await eventually("it was tried", () => troubles.length === 2);
    assert.match(troubles[0] ?? "", /^the package could not be kept in .*: ENOSPC; it is tried again$/);
    await rm(filling);
    const kept = () => readdir(dir).catch(() => []);
    await eventually("it is kept, and nothing else", async () => (await kept()).join() === geo.sha256);
    assert.deepEqual(await readFile(join(dir, String(geo.sha256))), moduleOf());
    await eventually("that is told", () => / is kept in .* now$/.test(troubles.at(-1) ?? ""));
  } finally {
    spawnSync("umount", ["-l", disk]);
  }
});

/** A disk that is full for so many tries from now on. */
function fullDisk() {
  const disk = { fullFor: Infinity };
  const checkDisk = (): void => {
    disk.fullFor -= 1;
    if (disk.fullFor >= 0) throw Object.assign(new Error("full"), { code: "ENOSPC" });
  };
  return { disk, options: { checkDisk, retryKeepingMs: 5 } };
}

test("a full disk is tried again until all is kept, by one package at a time, and not for what is kept", async () => {
  const { disk, options } = fullDisk();
  const { plugins, troubles, store } = await scene(options);
  const geo = await published(plugins, "geo.wasm", moduleOf());
  const rate = await published(plugins, "rate.wasm", moduleOf({ name: "rate" }));
  // Two that are fetched at once come in any order.
  await store.packages({ geo });
  await store.packages({ geo, rate });
  // The first fails once more, and the second is not tried before it.
  disk.fullFor = 1;
  await eventually("both are kept", () => troubles.length === 4);
  disk.fullFor = Infinity;
  const size = await published(plugins, "size.wasm", moduleOf({ name: "size" }));
  await store.packages({ geo, rate, size });
  disk.fullFor = 0;
  await eventually("the third is kept", () => troubles.length >= 6);
  const told = troubles.map((text) => [/[0-9a-f]{64}/.exec(text)?.[0], text.endsWith(" now")]);
  assert.deepEqual(told, [
    [geo.sha256, false],
    [rate.sha256, false],
    [geo.sha256, true],
    [rate.sha256, true],
    [size.sha256, false],
    [size.sha256, true],
  ]);
});

test("a package that finds room later takes it from none that is in use", async () => {
  const { disk, options } = fullDisk();
  const { plugins, dir, troubles, store } = await scene({ ...options, maxKeptBytes: 1 });
  const geo = await published(plugins, "geo.wasm", moduleOf());
  const rate = await published(plugins, "rate.wasm", moduleOf({ name: "rate" }));
  disk.fullFor = 0;
  await store.packages({ geo });
  disk.fullFor = Infinity;
  await store.packages({ geo, rate });
  disk.fullFor = 0;
  await eventually("it is kept", () => troubles.length === 2);
  assert.deepEqual(new Set(await readdir(dir)), new Set([geo.sha256, rate.sha256]));
});

test("of policies that are refused one after the other, only the last one's packages are tried again", async () => {
  const { disk, options } = fullDisk();
  const { plugins, dir, troubles, store } = await scene(options);
  const geo = await published(plugins, "geo.wasm", moduleOf());
  const rate = await published(plugins, "rate.wasm", moduleOf({ name: "rate" }));
  const size = await published(plugins, "size.wasm", moduleOf({ name: "size" }));
  const none = entryOf({ source: "file:none.wasm", sha256: "0".repeat(64) });
  await store.packages({ geo });
  await problems(store.packages({ rate, none }));
  await problems(store.packages({ size, none }));
  disk.fullFor = 0;
  await eventually("two are kept", () => troubles.length === 5);
  assert.deepEqual(new Set(await readdir(dir)), new Set([geo.sha256, size.sha256]));
});

test("a range stands for the highest version within it, a place of one package for that one", async () => {
  const { plugins, store } = await scene();
  for (const version of ["1.2.0", "1.10.0", "2.0.0", "1.11.0-rc.1"])
    await published(plugins, `geo@${version}.wasm`, moduleOf({ version }));
  const resolved = async (given: Readonly<Record<string, unknown>>): Promise<string> =>
    (await store.resolve("geo", entryOf({ source: `file:${plugins}`, ...given }))).manifest.version;
  assert.equal(await resolved({ version: "^1.2.0" }), "1.10.0");
  assert.equal(await resolved({}), "2.0.0");
  assert.equal(await resolved({ version: "1.2.0" }), "1.2.0");
  assert.equal(await resolved({ version: ">=1.11.0-0 <1.12.0" }), "1.11.0-rc.1");
  assert.equal(await resolved({ source: "file:geo@1.10.0.wasm", version: "^1.2.0" }), "1.10.0");
  const none = await problems(resolved({ version: "^3.0.0" }));
  assert.match(
    none.first?.message ?? "",
    /has no version within "\^3.0.0": it has 2.0.0, 1.11.0-rc.1, 1.10.0, 1.2.0$/,
  );
  const other = await problems(resolved({ source: "file:geo@1.10.0.wasm", version: "^2.0.0" }));
  assert.equal(other.first?.message, 'is "^2.0.0", and the package is 1.10.0');
});

test("a module without a manifest has the version that was chosen for it", async () => {
  const { plugins, store } = await scene();
  await published(plugins, "filter@2.1.0.wasm", emptyModule);
  const found = await store.resolve("filter", entryOf({ source: `file:${plugins}`, version: "^2.0.0" }));
  assert.equal(found.manifest.version, "2.1.0");
});

test("a package that says another version than its place does is refused", async () => {
  const { plugins, store } = await scene();
  await published(plugins, "geo@1.4.0.wasm", moduleOf());
  const { first } = await problems(store.resolve("geo", entryOf({ source: `file:${plugins}` })));
  assert.equal(first?.message, 'is "1.4.0", and the package is 1.2.0');
});

test("another version of one at once is found by that one's name, too", async () => {
  const { plugins, store } = await scene();
  await published(plugins, "geo@2.0.0.wasm", moduleOf({ version: "2.0.0" }));
  await writeFile(
    join(plugins, "index.json"),
    JSON.stringify({ plugins: [{ name: "geo", version: "2.0.0", file: "geo@2.0.0.wasm" }] }),
  );
  for (const source of [`file:${plugins}`, `file:${plugins}/index.json`]) {
    const next = entryOf({ source, version: "^2.0.0", replaces: "geo" });
    const { sha256 } = await store.resolve("geo-next", next);
    const pinned = { "geo-next": { ...next, version: "2.0.0", sha256 } };
    assert.equal((await store.packages(pinned)).get("geo-next")?.manifest.name, "geo");
  }
});

describe("where anybody might have written the policy", () => {
  const secret = { needs: { secrets: ["SECRET_A"] } };
  const database = { needs: { database: "SECRET_DB" } };
  const refusal = async (given: Scene, entry: ReturnType<typeof entryOf>): Promise<string | undefined> => {
    try {
      await given.store.packages({ geo: entry });
      return undefined;
    } catch (error) {
      assert.ok(error instanceof PackagesRefused);
      assert.equal(error.transient, false);
      return error.problems[0]?.message;
    }
  };

  for (const rightsBy of ["nobody", "folder"] as const)
    test(`all rights and secrets: by ${rightsBy}`, async () => {
      const byFolder = rightsBy === "folder";
      const plugins = await folder();
      const file = createFileSource(plugins);
      // Whoever has no folder has the same bytes from elsewhere.
      const https: PackageSource = {
        ...file,
        fetch: ({ location, ...wanted }, signal) =>
          file.fetch({ ...wanted, location: location.replace("https://a.example/", "file:") }, signal),
      };
      const given = await scene({ rightsBy, sources: { file, https } });
      const isRefused = async (bytes: Buffer, more: object): Promise<boolean> => {
        const entry = await published(plugins, "geo", bytes, more);
        const source = byFolder ? entry.source : "https://a.example/geo";
        return (await refusal(given, { ...entry, source })) !== undefined;
      };
      assert.equal(await isRefused(bundleOf(), { runtime: "process" }), false);
      assert.equal(await isRefused(bundleOf(), { runtime: "trusted" }), !byFolder);
      assert.equal(await isRefused(moduleOf(secret), {}), !byFolder);
      assert.equal(await isRefused(moduleOf(database), {}), !byFolder);
      // What a module asks for that says nothing itself is the policy's word.
      assert.equal(await isRefused(emptyModule, { manifest: secret }), true);
    });

  test("without a folder nothing is told of files, whether they are there or not", async () => {
    const given = await scene({ rightsBy: "nobody" });
    const there = await published(given.plugins, "geo.cjs", bundleOf(), { runtime: "process" });
    const said = await refusal(given, there);
    assert.match(said ?? "", /^no files are read .*OUTRIGGER_PLUGIN_DIR/);
    assert.equal(await refusal(given, { ...there, source: "file:gone.cjs" }), said);
  });

  test("bytes that came from elsewhere never pass for the folder's", async () => {
    const elsewhere = await folder();
    const bytes = bundleOf();
    await writeFile(join(elsewhere, "geo.cjs"), bytes);
    const oci = createFileSource(undefined);
    const place = (wanted: Wanted): Wanted => ({ ...wanted, location: `file:${elsewhere}/geo.cjs` });
    const remote: PackageSource = {
      ...oci,
      fetch: (wanted, signal) => oci.fetch(place(wanted), signal),
    };
    const local = await folder();
    const given = await scene({
      rightsBy: "folder",
      sources: { file: createFileSource(local), oci: remote },
    });
    const entry = { sha256: digestOf(bytes), source: "oci://registry.example/geo:1" };
    assert.equal(await refusal(given, entryOf({ ...entry, runtime: "process" })), undefined);
    assert.match((await refusal(given, entryOf({ ...entry, runtime: "trusted" }))) ?? "", /all rights/);
    // It is in memory and on disk now.
    const named = { ...entry, source: "file:geo.cjs", runtime: "trusted" };
    await assert.rejects(given.store.packages({ geo: entryOf(named) }), /does not exist/);
  });
});

test("the signature beside a resolved package is handed out, of whatever place", async () => {
  const { plugins, store } = await scene();
  await published(plugins, "geo@1.2.0.wasm", moduleOf());
  const entry = entryOf({ source: `file:${plugins}`, version: "^1.0.0" });
  const found = await store.resolve("geo", entry);
  assert.equal(await store.signatureOf("geo", entry, found), undefined);
  await writeFile(join(plugins, "geo@1.2.0.wasm.sig"), "a.b.c\n");
  assert.equal(await store.signatureOf("geo", entry, found), "a.b.c");
});

test("a file as long as a package may be is read whole", async () => {
  const { plugins, store } = await scene();
  const bytes = Buffer.concat([bundleOf(), Buffer.alloc(maxPackageBytes - bundleOf().length, 0x20)]);
  const geo = await published(plugins, "geo.cjs", bytes, { runtime: "trusted" });
  assert.equal((await store.packages({ geo })).get("geo")?.bytes.length, maxPackageBytes);
});

test("who waits no more is not kept waiting, and the place is told", async () => {
  let told: AbortSignal | undefined;
  const hanging: PackageSource = {
    ...createFileSource(undefined),
    fetch(_wanted, signal) {
      told = signal;
      return new Promise(() => {});
    },
  };
  const { store } = await scene({ sources: { file: hanging } });
  const stop = new AbortController();
  const entries = { geo: entryOf({ source: "file:/geo.wasm", sha256: "a".repeat(64) }) };
  const asked = store.packages(entries, stop.signal);
  setImmediate(() => stop.abort());
  await assert.rejects(asked, { name: "AbortError" });
  assert.equal(told?.aborted, true);
});

test("what a place holds in place of a package that is pinned is no fault of the policy", async () => {
  const { plugins, store } = await scene();
  const geo = await published(plugins, "geo.wasm", moduleOf());
  await writeFile(join(plugins, "geo.wasm"), Buffer.alloc(maxPackageBytes + 1));
  const large = await problems(store.packages({ geo }));
  assert.deepEqual([large.transient, /are the most/.test(String(large.first?.message))], [true, true]);
  await rm(join(plugins, "geo.wasm"));
  await mkdir(join(plugins, "geo.wasm"));
  assert.equal((await problems(store.packages({ geo }))).transient, true);
  await rm(join(plugins, "geo.wasm"), { recursive: true });
  await writeFile(join(plugins, "geo.wasm"), moduleOf());
  assert.equal((await store.packages({ geo })).size, 1);
});
