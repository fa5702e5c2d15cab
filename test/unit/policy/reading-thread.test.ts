// Large documents are read in a thread, with the same outcome as in the main thread; whatever happens to the thread,
// the reading ends.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { manifest, type Package } from "../../../src/extensions/manifest.ts";
import { PackagesRefused } from "../../../src/extensions/package-store.ts";
import { type Problem, PolicyRefused, ReadingCutShort } from "../../../src/policy/document/problems.ts";
import { createPolicyReader, type PolicyReader, type RawPolicy } from "../../../src/policy/read.ts";
import type { FindPackages } from "../../../src/policy/extensions/resolve.ts";
import { createThreadedReader, type ReadingThreadOptions } from "../../../src/policy/reading-thread.ts";
import { problemsOf, samplePlugins } from "./sample.ts";

const program = new URL("sample-thread.ts", import.meta.url);
const settings = { service: "users", upstreamAllow: [], keys: undefined };
const here = await createPolicyReader({ plugins: samplePlugins, ...settings });
const threaded = (more: Partial<ReadingThreadOptions> = {}): PolicyReader =>
  createThreadedReader({ ...settings, here, program, ...more });
/** A thread that does this and no more. */
const doing = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`);
const endless = doing("setInterval(() => {}, 1_000);");

/** A thousand routes, of which every tenth has options of its own. */
const shared = {
  apiVersion: "outrigger/v1",
  plugins: ["logging", "cache"],
  pluginConfig: { cache: { ttlSeconds: 5 }, auth: { jwt: { issuer: "a" } } },
  locked: ["cache"],
  routes: Array.from({ length: 1_000 }, (_, index) => ({
    path: `/service-${index}/*`,
    methods: ["GET", "POST"],
    ...(index % 10 === 0 && { plugins: ["auth", "cache"], pluginConfig: { auth: { required: false } } }),
  })),
};
const layer = {
  apiVersion: "outrigger/v1",
  pluginConfig: { cache: { ttlSeconds: 9 } },
  routes: [{ path: "/service-7/own", plugins: ["logging", "cache"], stripPrefix: "/service-7" }],
};
const raw = (document: unknown, more: Partial<RawPolicy> = {}): RawPolicy => ({
  shared: Buffer.from(JSON.stringify(document, null, 1)),
  layer: undefined,
  format: "any",
  ...more,
});
/** YAML that is not JSON. */
const yaml = `---\n${JSON.stringify(shared)}`;

describe("a large document", () => {
  test("is the same policy read in a thread as read here", async () => {
    const read = threaded();
    for (const document of [
      raw(shared),
      raw(shared, { layer: Buffer.from(JSON.stringify(layer)), standing: true }),
      raw(shared, { shared: Buffer.from(yaml) }),
      raw({ ...shared, routes: [], pluginConfig: { auth: { exclude: ["/x".repeat(40_000)] } } }),
    ]) {
      assert.deepEqual(await read(document), await here(document));
    }
  });

  test("has what routes share shared there too", async () => {
    const { routes } = await threaded()(raw(shared));
    assert.equal(routes[1]?.pluginConfig["cache"], routes[998]?.pluginConfig["cache"]);
    assert.equal(routes[1]?.plugins, routes[998]?.plugins);
  });

  test("is refused for the same problems, in the same places", async () => {
    const read = threaded();
    const wrong = (count: number, options: object = {}): object => ({
      ...shared,
      routes: shared.routes.map((route, index) => (index < count ? { ...route, ...options } : route)),
    });
    const broken = Buffer.from(JSON.stringify(layer).slice(0, -3));
    for (const document of [
      raw(wrong(3, { methods: ["GETT"], colour: 1 })),
      raw(wrong(1_000, { colour: 1 })),
      raw(wrong(101, { colour: 1 })),
      raw(wrong(2, { pluginConfig: { cache: { ttlSeconds: -1 } } }), { layer: broken }),
      raw(shared, { layer: Buffer.from(JSON.stringify(layer)) }),
      raw(shared, { shared: Buffer.from(`${yaml}\n]`) }),
    ]) {
      const told: readonly Problem[] = await problemsOf(() => read(document));
      assert.deepEqual(told, await problemsOf(() => here(document)));
    }
  });

  test("that is signed has to be so in the thread, too", async () => {
    const { publicKey, privateKey } = await generateKeyPair("ES256");
    const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: "one", alg: "ES256" }] };
    const signature = new CompactSign(Buffer.from(JSON.stringify(shared)));
    const token = await signature.setProtectedHeader({ alg: "ES256", kid: "one" }).sign(privateKey);
    const signed = raw(shared, { shared: Buffer.from(token) });
    const policy = await threaded({ keys })(signed);
    assert.equal(policy.signed, "verified");
    await assert.rejects(threaded({ keys })(raw(shared)), /is not signed/);
  });
});

test("a small document starts no thread", async () => {
  const read = threaded({ program: new URL("no-such-file.ts", import.meta.url) });
  assert.equal((await read(raw({ ...shared, routes: [] }))).routes.length, 0);
  await assert.rejects(read(raw(shared)), /Cannot find module/);
});

describe("the thread", () => {
  const large = raw(shared);

  test("is ended after its time, and that is no fault of the document for good", async () => {
    const read = threaded({ program: endless, limitMs: 50 });
    await assert.rejects(
      read(large),
      (error) => error instanceof ReadingCutShort && /longer than 0.05 s/.test(error.message),
    );
  });

  test("may take so much memory and no more", async () => {
    const hungry = doing("const all = []; for (;;) all.push(new Array(1_000).fill({}).map(() => ({})));");
    const read = threaded({ program: hungry, limitMiB: 16 });
    await assert.rejects(
      read(large),
      (error) => error instanceof ReadingCutShort && /more than 16 MiB/.test(error.message),
    );
  });

  test("ends with whoever waits for it", async () => {
    const waiting = new AbortController();
    const reading = threaded({ program: endless })(large, waiting.signal);
    const refused = assert.rejects(reading, { name: "AbortError" });
    waiting.abort();
    await refused;
    await assert.rejects(threaded()(large, AbortSignal.abort()), { name: "AbortError" });
  });

  test("that throws, or says nothing, is no policy", async () => {
    const isNoRefusal = (error: unknown): boolean => !(error instanceof PolicyRefused);
    await assert.rejects(threaded({ program: doing("throw new Error('broken')") })(large), isNoRefusal);
    await assert.rejects(threaded({ program: doing("") })(large), isNoRefusal);
  });

  test("knows nothing of this process's environment", async () => {
    process.env["OUTRIGGER_SECRET_TEST"] = "secret";
    const telling = doing(
      "import { parentPort } from 'node:worker_threads'; parentPort.postMessage({ problems: [{ path: '', message: JSON.stringify(process.env) }] });",
    );
    assert.deepEqual(await problemsOf(async () => threaded({ program: telling })(large)), [
      { path: "", message: "{}" },
    ]);
    delete process.env["OUTRIGGER_SECRET_TEST"];
  });
});

describe("a large document with extensions", () => {
  const geo: Package = {
    manifest: manifest.parse({
      name: "geo",
      version: "1.2.0",
      options: { type: "object", maxProperties: 1 },
    }),
    kind: "wasm",
    bytes: Buffer.from("\0asm"),
    sha256: "a".repeat(64),
  };
  const entries = { geo: { source: "file:/geo.wasm", runtime: "wasm" } };
  const withGeo = raw({ extensions: entries, ...shared, plugins: ["geo", "cache"] });
  const packages: FindPackages = (asked) =>
    Promise.resolve(new Map(Object.keys(asked).map((name) => [name, geo])));

  test("is the same as read here: the packages are got here, and their bytes stay here", async () => {
    const reader = await createPolicyReader({ plugins: samplePlugins, packages, ...settings });
    const policy = await threaded({ packages })(withGeo);
    assert.deepEqual(policy, await reader(withGeo));
    assert.equal(policy.extensions[0]?.package, geo);
  });

  test("is refused as here: for good, or until it is tried again", async () => {
    for (const transient of [false, true]) {
      const problem = { name: "geo", field: "source", message: "is away", transient };
      const away: FindPackages = () => Promise.reject(new PackagesRefused([problem]));
      const error: unknown = await threaded({ packages: away })(withGeo).catch((reason: unknown) => reason);
      assert.ok(error instanceof PolicyRefused);
      assert.equal(error instanceof ReadingCutShort, transient);
      assert.deepEqual(
        error.problems.map(({ path, line, message }) => [path, line, message]),
        [["extensions.geo.source", 4, "is away"]],
      );
    }
    const broken: FindPackages = () => Promise.reject(new Error("a bug of ours"));
    await assert.rejects(threaded({ packages: broken })(withGeo), /a bug of ours/);
    assert.deepEqual(
      (await problemsOf(() => threaded()(withGeo))).map(({ message }) => message),
      ["extensions are not taken here"],
    );
  });

  test("waits for packages as long as for the rest, and not once nobody wants it", async () => {
    const signals: (AbortSignal | undefined)[] = [];
    const never: FindPackages = (_entries, signal) => {
      signals.push(signal);
      return new Promise(() => {});
    };
    const late = await problemsOf(() => threaded({ packages: never, limitMs: 3_000 })(withGeo));
    assert.match(late[0]?.message ?? "", /takes longer than 3 s to read/);
    const stop = new AbortController();
    const reading = threaded({ packages: (...given) => (stop.abort(), never(...given)) })(
      withGeo,
      stop.signal,
    );
    await assert.rejects(reading, { name: "AbortError" });
    assert.deepEqual(
      signals.map((signal) => signal?.aborted),
      [true, true],
    );
  });
});
