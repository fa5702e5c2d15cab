// Versions of a plugin replace each other while requests go on, and two versions run at once.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { checkedManifest, writePackage } from "../../src/extensions/package.ts";
import { Client, clientsOf, startCrew, startService } from "../support/crew.ts";
import { bundleExtension, pluginCode } from "../support/extensions.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar, type TestSidecarOptions } from "../support/sidecar.ts";
import { swapUnderLoad } from "../support/swaps.ts";
import { scriptGuest } from "../support/wasm/guests.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-swaps-"));
after(() => rmSync(folder, { recursive: true }));

/** What bundles in this process tell of themselves. */
interface Told {
  readonly disposed: number[];
  /** Requests that a version saw through. */
  readonly completed: number[];
}
const told: Told = { disposed: [], completed: [] };
Object.assign(globalThis, { told });
beforeEach(() => void (told.disposed.length = told.completed.length = 0));

/** Answers with its version, and with how many requests were counted before, by versions before too. */
const members = (version: number): string => `
  init: () => ({ requests: 0 }),
  exportState: ({ requests }) => ({ requests }),
  importState: (state, exported) => void (state.requests += exported.requests),
  dispose: () => void globalThis.told?.disposed.push(${version}),
  setup: ({ state, options }) => ({
    onResponse(_exchange, response) {
      response.fields.set("x-version", "${version}" + (options.mark ?? ""));
      response.fields.set("x-requests", String(state.requests++));
    },
    onComplete: () => void globalThis.told?.completed.push(${version}),
  })`;

function entryOf(version: number, more: object = {}): object {
  const manifest = { version: `1.0.${version}` };
  const options = "z.object({ mark: z.string().optional() })";
  const code = pluginCode(members(version), manifest).replace("z.strictObject({})", options);
  const { bytes, sha256 } = bundleExtension({ code, manifest }).package;
  const path = join(folder, `${version}.cjs`);
  writeFileSync(path, bytes);
  return { source: `file:${path}`, sha256, runtime: "trusted", ...more };
}

/** A module with another digest for each version. */
function guestEntry(guest: Buffer, version: number): object {
  const facts = checkedManifest({ name: "geo", version: `1.0.${version}` });
  const bytes = writePackage(guest, facts);
  const path = join(folder, `${version}.wasm`);
  writeFileSync(path, bytes);
  return {
    source: `file:${path}`,
    sha256: hash("sha256", bytes),
    runtime: "wasm",
    limits: { timeMs: 2_000 },
  };
}

const policyOf = (version: number): Record<string, unknown> => ({
  extensions: { geo: entryOf(version) },
  plugins: ["geo"],
});

const start = (options: Partial<TestSidecarOptions>): Promise<TestSidecar> =>
  startSidecar({ upstream: (_request, response) => void response.end("ok"), ...options });

const versionAt = async (client: Client): Promise<unknown> => (await client.get()).fields["x-version"];

describe("a new version of a plugin", () => {
  test("takes the place of the one before under load, fifty times, without a failed request", async () => {
    await using sidecar = await start({ policy: policyOf(0) });
    const count = 50;
    const apply = (version: number): void => sidecar.setPolicy(policyOf(version));
    const { answered, failed } = await swapUnderLoad(sidecar.url, { apply, count, connections: 8 });
    assert.deepEqual(failed, []);
    assert.ok(answered > count, `${answered}`);
    await eventually("all but the last are disposed of", () => told.disposed.length === count);
    assert.deepEqual(
      told.disposed,
      Array.from({ length: count }, (_, version) => version),
    );
    // None of the requests was lost from state to state; those in flight at a swap count in the older one alone.
    const client = new Client(sidecar.url);
    const counted = Number((await client.get()).fields["x-requests"]);
    client.close();
    assert.ok(counted <= answered && counted > answered / 2, `${counted} of ${answered}`);
    const { plugins } = (await (await fetch(`${sidecar.adminUrl}/plugins`)).json()) as {
      plugins: { version: string }[];
    };
    assert.deepEqual(
      plugins.map(({ version }) => version.split("+")[0]),
      [`1.0.${count}`],
    );
  });

  // A process or a guest is started for each.
  for (const [runtime, count] of [
    ["wasm", 10],
    ["process", 2],
  ] as const) {
    test(`takes its place in the runtime ${runtime}, too`, async () => {
      const guest = await scriptGuest();
      const policyOf = (version: number): Record<string, unknown> => ({
        extensions: {
          geo:
            runtime === "wasm"
              ? guestEntry(guest, version)
              : entryOf(version, { runtime, limits: { timeMs: 2_000 } }),
        },
        plugins: ["geo"],
        ...(runtime === "wasm" && {
          pluginConfig: { geo: { configuration: `response replace 2 x-version ${version}` } },
        }),
      });
      await using sidecar = await start({ policy: policyOf(0) });
      const apply = (version: number): void => sidecar.setPolicy(policyOf(version));
      const { answered, failed } = await swapUnderLoad(sidecar.url, { apply, count, connections: 4 });
      assert.deepEqual(failed, []);
      assert.ok(answered > count, `${answered}`);
    });
  }

  test("leaves requests in flight to the one before, which ends after the last of them", async () => {
    const waiting: http.ServerResponse[] = [];
    await using sidecar = await start({
      policy: policyOf(0),
      upstream(request, response) {
        if (request.url === "/slow") waiting.push(response);
        else response.end();
      },
    });
    const [slow, quick] = [new Client(sidecar.url), new Client(sidecar.url)];
    const answer = slow.get("/slow");
    await eventually("the service has it", () => waiting.length === 1);
    sidecar.setPolicy(policyOf(1));
    await eventually("the new one is in force", async () => (await versionAt(quick)) === "1");
    assert.deepEqual(told.disposed, []);
    waiting[0]?.end();
    assert.equal((await answer).fields["x-version"], "0");
    await eventually("the one before is disposed of", () => told.disposed.length === 1);
    assert.ok(told.completed.includes(0));
    [slow, quick].forEach((client) => client.close());
  });

  test("lets the process of the one before do what it does at the end of its last request", async () => {
    const completing = `setup: ({ services }) => ({
      async onComplete() {
        await new Promise((resolve) => setTimeout(resolve, 300));
        services.logger.info({}, "seen through");
      },
    })`;
    const { bytes, sha256 } = bundleExtension({ code: pluginCode(completing) }).package;
    writeFileSync(join(folder, "completing.cjs"), bytes);
    const entry = { source: `file:${folder}/completing.cjs`, sha256, runtime: "process" };
    await using sidecar = await start({ policy: { extensions: { geo: entry }, plugins: ["geo"] } });
    await (await fetch(sidecar.url)).text();
    sidecar.setPolicy({ plugins: [] });
    await sidecar.line(({ msg }) => msg === "seen through");
  });

  test("is refused when it cannot be set up, and the one before serves on", async () => {
    await using sidecar = await start({ policy: policyOf(0) });
    const broken = bundleExtension({ code: 'throw new Error("no map");' }).package;
    writeFileSync(join(folder, "broken.cjs"), broken.bytes);
    const entry = { source: `file:${folder}/broken.cjs`, sha256: broken.sha256, runtime: "trusted" };
    sidecar.setPolicy({ extensions: { geo: entry }, plugins: ["geo"] });
    const { problems } = await sidecar.line(({ msg }) => String(msg).startsWith("policy refused"));
    assert.match(String(problems), /extension "geo": geo@1\.0\.0, line 2: no map/);
    const client = new Client(sidecar.url);
    assert.equal(await versionAt(client), "0");
    client.close();
  });

  test("is in force in all workers, each with its own state handed over", async () => {
    const service = await startService((_request, response) => void response.end("ok"));
    const crew = await startCrew({ policy: policyOf(0), upstream: service.url });
    try {
      const clients = await clientsOf(crew, 8);
      for (let version = 1; version <= 2; version += 1) {
        crew.setPolicy(policyOf(version));
        await eventually(`${version} is everywhere`, async () => {
          const versions = await Promise.all(clients.map(versionAt));
          return versions.every((each) => each === String(version));
        });
      }
      const counts = await Promise.all(
        clients.map(async (client) => Number((await client.get()).fields["x-requests"])),
      );
      assert.ok(Math.min(...counts) >= 3, counts.join());
      clients.forEach((client) => client.close());
    } finally {
      await crew.stop();
      service.closeAllConnections();
      service.close();
    }
  });
});

describe("two versions of a plugin in one policy", () => {
  const ask = (sidecar: TestSidecar, address: string, path = "/"): Promise<string | null> =>
    fetch(sidecar.url + path, { headers: { "x-forwarded-for": address } }).then(({ headers }) =>
      headers.get("x-version"),
    );
  const addresses = Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`);

  test("are for the same callers each time, exactly one for each", async () => {
    await using sidecar = await start({
      env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1/32" },
      policy: {
        extensions: { geo: entryOf(0), "geo-next": entryOf(1, { replaces: "geo", percent: 30 }) },
        plugins: ["geo"],
        pluginConfig: { "geo-next": { mark: "+" } },
        routes: [{ path: "/*" }, { path: "/next", plugins: ["geo-next"] }],
      },
    });
    const versions = await Promise.all(addresses.map((address) => ask(sidecar, address)));
    const next = versions.filter((version) => version === "1+").length;
    assert.equal(next + versions.filter((version) => version === "0").length, addresses.length);
    assert.ok(next > 35 && next < 85, `${next} of ${addresses.length}`);
    assert.deepEqual(await Promise.all(addresses.map((address) => ask(sidecar, address, "/next"))), versions);
    await eventually("one of them saw each through", () => told.completed.length === 2 * addresses.length);
    assert.equal(told.completed.filter((version) => version === 1).length, 2 * next);
  });
});
