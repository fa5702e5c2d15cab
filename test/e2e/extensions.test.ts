// External plugins in a policy, from the document to the answer: what is served, and what is refused while the policy
// in force stays.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startCrew, startService } from "../support/crew.ts";
import { bundleExtension, pluginCode } from "../support/extensions.ts";
import { eventually, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar, type TestSidecarOptions } from "../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-extensions-"));
after(() => rmSync(folder, { recursive: true }));

/** Answers carry the mark, and the country that options say. */
function code(mark: string, facts: Readonly<Record<string, unknown>>): string {
  const setup = `setup({ options }) {
    return {
      onResponse(_exchange, response) {
        response.fields.set("x-geo", ${JSON.stringify(mark)} + (options.country ?? ""));
      },
    };
  }`;
  const options = "z.object({ country: z.string().optional() })";
  return pluginCode(setup, facts).replace("z.strictObject({})", options);
}

interface Written {
  readonly path: string;
  readonly sha256: string;
  readonly entry: Readonly<Record<string, unknown>>;
}

/** Writes a package file. @returns its entry in a policy */
function packageFile(file: string, mark: string, said: Readonly<Record<string, unknown>> = {}): Written {
  const facts = { name: "geo", version: "1.0.0", priority: 30, security: false, failMode: "closed", ...said };
  const { options, apiVersion, ...own } = facts as Record<string, unknown>;
  const { bytes, sha256 } = bundleExtension({
    code: code(mark, own),
    name: facts.name,
    manifest: {
      ...own,
      ...(options === undefined ? {} : { options: options as Record<string, unknown> }),
      ...(typeof apiVersion === "string" ? { apiVersion } : {}),
    },
  }).package;
  const path = join(folder, file);
  writeFileSync(path, bytes);
  return { path, sha256, entry: { source: `file:${path}`, sha256, runtime: "trusted" } };
}

const policyOf = (entry: unknown, more: object = {}): Record<string, unknown> => ({
  extensions: { geo: entry },
  plugins: ["geo"],
  ...more,
});

const markOf = async ({ url }: { url: string }): Promise<string | null> =>
  (await fetch(url)).headers.get("x-geo");

interface Status {
  readonly effective: { readonly extensions?: object } | null;
  readonly lastError: {
    readonly problems: readonly { readonly path: string; readonly message: string; readonly line?: number }[];
  } | null;
}

const statusOf = async ({ adminUrl }: { adminUrl: string }): Promise<Status> =>
  (await (await fetch(`${adminUrl}/policy`)).json()) as Status;

const start = (options: Partial<TestSidecarOptions>): Promise<TestSidecar> =>
  startSidecar({ upstream: (_request, response) => void response.end("ok"), ...options });

describe("a policy with an extension", () => {
  const good = packageFile("geo.cjs", "good");
  let sidecar: TestSidecar;
  before(async () => {
    sidecar = await start({ policy: policyOf(good.entry) });
  });
  after(() => sidecar.stop());

  test("serves by it", async () => {
    assert.equal(await markOf(sidecar), "good");
    assert.deepEqual(Object.keys((await statusOf(sidecar)).effective?.extensions ?? {}), ["geo"]);
  });

  const other = packageFile("other.cjs", "other", { name: "place" });
  const checked = packageFile("checked.cjs", "checked", {
    options: { type: "object", properties: { country: { type: "string", maxLength: 2 } } },
  });
  const refusals: readonly {
    what: string;
    policy: Record<string, unknown>;
    path: string;
    message: RegExp;
  }[] = [
    {
      what: "a file that is not there",
      policy: policyOf({ ...good.entry, sha256: "a".repeat(64), source: `file:${folder}/gone.cjs` }),
      path: "extensions.geo.source",
      message: /gone\.cjs" does not exist$/,
    },
    {
      what: "other bytes than are pinned",
      policy: policyOf({ ...good.entry, sha256: "a".repeat(64) }),
      path: "extensions.geo.source",
      message: /is not what the policy pins \(SHA-256 a{64}\)$/,
    },
    {
      what: "no digest",
      policy: policyOf({ source: `file:${good.path}`, runtime: "trusted" }),
      path: "extensions.geo.sha256",
      message: /is missing: run "outrigger policy apply"/,
    },
    {
      what: "the name of a built-in plugin",
      policy: { extensions: { cache: good.entry } },
      path: "extensions.cache",
      message: /is the name of a built-in plugin/,
    },
    {
      what: "the priority of a built-in plugin",
      policy: policyOf({ ...good.entry, priority: 10 }),
      path: "extensions.geo.priority",
      message: /^10 is the priority of "\w+" too/,
    },
    {
      what: "the priority of another extension",
      policy: { extensions: { geo: good.entry, place: other.entry }, plugins: [] },
      path: "extensions.place.priority",
      message: /^30 is the priority of "geo" too/,
    },
    {
      what: "the package of another plugin",
      policy: policyOf(other.entry),
      path: "extensions.geo",
      message: /the package is of "place", not "geo"/,
    },
    {
      what: "a manifest beside the one that the package carries",
      policy: policyOf({ ...good.entry, manifest: { name: "geo" } }),
      path: "extensions.geo",
      message: /carries a manifest, and the policy gives another/,
    },
    {
      what: "a plugin contract to come",
      policy: policyOf(packageFile("late.cjs", "late", { apiVersion: "^7.0.0" }).entry),
      path: "extensions.geo",
      message: /plugin contract "\^7\.0\.0", and this is 1\.0\.0/,
    },
    {
      what: "a version that the package is not",
      policy: policyOf({ ...good.entry, version: "^2.0.0" }),
      path: "extensions.geo.version",
      message: /the package is 1\.0\.0/,
    },
    {
      what: "a runtime that the package is not for",
      policy: policyOf({ ...good.entry, runtime: "wasm" }),
      path: "extensions.geo.runtime",
      message: /the package is JavaScript/,
    },
    {
      what: "options that the manifest does not know",
      policy: policyOf(checked.entry, { pluginConfig: { geo: { country: "CHE" } } }),
      path: "pluginConfig.geo.country",
      message: /must have at most 2 characters/,
    },
    {
      what: "the replacement of nothing",
      policy: policyOf({ ...good.entry, replaces: "place" }),
      path: "extensions.geo.replaces",
      message: /unknown extension "place"/,
    },
    {
      what: "more than 64",
      policy: {
        extensions: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`g-${at}`, good.entry])),
      },
      path: "extensions",
      message: /has 65 extensions; at most 64/,
    },
  ];
  for (const { what, policy, path, message } of refusals) {
    test(`is refused with ${what}, and the one in force stays`, async () => {
      sidecar.setPolicy(policy);
      await eventually("the refusal", async () => {
        const problems = (await statusOf(sidecar)).lastError?.problems ?? [];
        return problems.some(
          (problem) => problem.path === path && message.test(problem.message) && problem.line === 1,
        );
      });
      assert.equal(await markOf(sidecar), "good");
      sidecar.setPolicy(policyOf(good.entry));
      await eventually("the end of it", async () => (await statusOf(sidecar)).lastError === null);
    });
  }

  test("is tried again while it stays as it is, once its package is there", async () => {
    const { path, entry } = packageFile("late-file.cjs", "late");
    const bytes = readFileSync(path);
    rmSync(path);
    sidecar.setPolicy(policyOf(entry));
    await eventually("the refusal", async () => (await statusOf(sidecar)).lastError !== null);
    writeFileSync(path, bytes);
    // An editor that changes nothing has the file read.
    sidecar.setPolicy(policyOf(entry));
    await eventually("the late package", async () => (await markOf(sidecar)) === "late");
  });

  test("that is large is read in a thread, with the same outcome", async () => {
    const routes = Array.from({ length: 1_500 }, (_, at) => ({
      path: `/service-${at}/*`,
      methods: ["GET", "POST"],
    }));
    const { entry } = packageFile("large.cjs", "large");
    const policy = policyOf(entry, {
      pluginConfig: { geo: { country: "CH" } },
      routes: [...routes, { path: "/*" }],
    });
    assert.ok(JSON.stringify(policy).length > 49_152);
    sidecar.setPolicy(policy);
    await eventually("the large one", async () => (await markOf(sidecar)) === "largeCH");
    sidecar.setPolicy(policyOf({ ...entry, sha256: "b".repeat(64) }, { routes }));
    await eventually("the refusal", async () => {
      const problems = (await statusOf(sidecar)).lastError?.problems ?? [];
      return problems.some(({ path }) => path === "extensions.geo.source");
    });
    assert.equal(await markOf(sidecar), "largeCH");
  });
});

test("a service's layer has no extensions, and uses those of the shared policy", async () => {
  const { entry } = packageFile("layered.cjs", "layered");
  const redis = await startRedis();
  const set = (key: string, policy: object): Promise<unknown> =>
    redis.cli.set(key, JSON.stringify({ apiVersion: "outrigger/v1", ...policy }));
  await set("outrigger:policy", { extensions: { geo: entry }, plugins: [] });
  const sidecar = await start({
    redisUrl: redis.url,
    env: { OUTRIGGER_SERVICE: "orders", OUTRIGGER_PLUGIN_DIR: folder },
  });
  try {
    assert.equal(await markOf(sidecar), null);
    await set("outrigger:policy:orders", { extensions: { geo: entry } });
    await eventually("the refusal", async () => {
      const problems = (await statusOf(sidecar)).lastError?.problems ?? [];
      return problems.some(
        ({ path, message }) => path === "extensions" && /only the shared policy/.test(message),
      );
    });
    await set("outrigger:policy:orders", { plugins: ["geo"], pluginConfig: { geo: { country: "AT" } } });
    await eventually("the layer", async () => (await markOf(sidecar)) === "layeredAT");
  } finally {
    await sidecar.stop();
    await redis.close();
  }
});

test("after a restart without Redis and without the source, what was kept serves", async () => {
  const { path, sha256, entry } = packageFile("kept.cjs", "kept");
  const redis = await startRedis();
  await redis.cli.set("outrigger:plugin:geo@1.0.0", readFileSync(path));
  const inRedis = { ...entry, source: "redis:plugin:geo", version: "1.0.0", runtime: "process" };
  const policy = { apiVersion: "outrigger/v1", ...policyOf(inRedis) };
  await redis.cli.set("outrigger:policy", JSON.stringify(policy));
  const env = { OUTRIGGER_STATE_DIR: join(folder, "state") };
  const first = await start({ redisUrl: redis.url, env });
  assert.equal(await markOf(first), "kept");
  await first.stop();
  await redis.close();
  assert.ok(readdirSync(join(folder, "state", "packages")).includes(sha256));
  const second = await start({ redisUrl: redis.url, env });
  try {
    assert.equal(await markOf(second), "kept");
  } finally {
    await second.stop();
  }
});

test("a source that never answers holds up neither requests nor the end", async () => {
  const asked = Promise.withResolvers<void>();
  const registry = await startService(() => asked.resolve());
  const { host } = new URL(registry.url);
  const { entry } = packageFile("served.cjs", "served");
  const env = { OUTRIGGER_PLUGIN_HOSTS: host };
  const sidecar = await start({ policy: policyOf(entry), env });
  try {
    sidecar.setPolicy(policyOf({ ...entry, source: `oci://${host}/geo:1.0.0`, sha256: "d".repeat(64) }));
    await asked.promise;
    assert.equal(await markOf(sidecar), "served");
  } finally {
    const startedMono = performance.now();
    await sidecar.stop();
    assert.ok(performance.now() - startedMono < 10_000);
    registry.closeAllConnections();
    registry.close();
  }
});

test("workers serve by it, and refuse it together", async () => {
  const { entry } = packageFile("crew.cjs", "crew");
  const service = await startService((_request, response) => void response.end("ok"));
  const crew = await startCrew({ policy: policyOf(entry), upstream: service.url });
  try {
    const marks = await Promise.all(Array.from({ length: 8 }, () => markOf(crew)));
    assert.deepEqual(new Set(marks), new Set(["crew"]));
    crew.setPolicy(policyOf({ ...entry, sha256: "c".repeat(64) }));
    await crew.until(1, ({ msg }) => String(msg).startsWith("policy refused"));
    assert.equal(await markOf(crew), "crew");
  } finally {
    await crew.stop();
    service.closeAllConnections();
    service.close();
  }
});
