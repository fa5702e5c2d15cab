import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { HostClient } from "../../../src/extensions/host-client.ts";
import { createOciSource, ociPlaceOf, signatureAnnotation } from "../../../src/extensions/oci-source.ts";
import type { PackageSource } from "../../../src/extensions/source.ts";
import { moduleOf } from "./sample-packages.ts";
import { type Registry, startRegistry } from "../../support/registry.ts";
import { testSource } from "./source-suite.ts";

const open: Registry[] = [];
afterEach(async () => {
  for (const registry of open.splice(0)) await registry.close();
});

async function scene(token?: string): Promise<{ registry: Registry; source: PackageSource; base: string }> {
  const registry = await startRegistry(token === undefined ? {} : { token });
  open.push(registry);
  const hosts = [{ suffix: false, host: "127.0.0.1", port: registry.port }];
  return {
    registry,
    source: createOciSource(new HostClient({ hosts })),
    base: `oci://${registry.host}/team/geo`,
  };
}
const limit = (): AbortSignal => AbortSignal.timeout(5_000);
const at = (location: string, version?: string) => ({ name: "geo", location, version });

for (const token of [undefined, "an-anonymous-token"])
  testSource(token === undefined ? "oci:" : "oci: with a token", async () => {
    const { registry, source, base } = await scene(token);
    return {
      source,
      put: (version, bytes, signature) => {
        registry.put(
          "team/geo",
          version,
          bytes,
          signature === undefined ? {} : { [signatureAnnotation]: signature },
        );
        return Promise.resolve();
      },
      location: (version) => (version === undefined ? base : `${base}:${version}`),
      all: `oci://${registry.host}`,
      lose: async () => await registry.close(),
    };
  });

test("a manifest can be named by its digest", async () => {
  const { registry, source, base } = await scene();
  const digest = registry.put("team/geo", "1.2.0", moduleOf());
  assert.deepEqual(await source.fetch(at(`${base}@${digest}`), limit()), moduleOf());
});

test("a registry that answers with other bytes than were asked for is not believed", async () => {
  const { registry, source, base } = await scene();
  const digest = registry.put("team/geo", "1.2.0", moduleOf());
  const [blob = ""] = registry.blobs.keys();
  registry.blobs.set(blob, Buffer.from("another"));
  await assert.rejects(source.fetch(at(`${base}:1.2.0`), limit()), {
    name: "PackageUnavailable",
    message: /answers for sha256:[0-9a-f]{64} with sha256:[0-9a-f]{64}$/,
  });
  registry.manifests.set(`team/geo:${digest}`, Buffer.from('{"layers":[]}'));
  await assert.rejects(source.fetch(at(`${base}@${digest}`), limit()), /answers for sha256:/);
});

test("what is no artifact of one layer is refused: other documents, an index, a layer that says it is too long", async () => {
  const { registry, source, base } = await scene();
  const digest = `sha256:${"0".repeat(64)}`;
  for (const [text, message] of [
    ["{", /manifest is not JSON/],
    ["[]", /manifest is wrong/],
    ['{"schemaVersion":2,"manifests":[]}', /manifest is wrong at "layers"/],
    ['{"layers":[{"mediaType":"x","size":1,"digest":"md5:00"}]}', /manifest is wrong at "layers.0.digest"/],
    [`{"layers":[{"mediaType":"x","size":99999999,"digest":"${digest}"}]}`, /a layer of 99999999 bytes/],
  ] as const) {
    registry.manifests.set("team/geo:1.2.0", Buffer.from(text));
    await assert.rejects(source.fetch(at(`${base}:1.2.0`), limit()), { name: "PackageError", message });
  }
});

test("a blob that lies elsewhere is fetched there when that host is named too, and without the token", async () => {
  const { registry, base, source } = await scene("secret-token");
  registry.put("team/geo", "1.2.0", moduleOf());
  const storage = await startRegistry();
  open.push(storage);
  let told: string | undefined = "nothing";
  storage.hook = (request, response) => {
    told = request.headers.authorization;
    response.end(moduleOf());
    return true;
  };
  registry.hook = (request, response) => {
    if (!request.url?.includes("/blobs/")) return false;
    response.writeHead(307, { location: `http://${storage.host}/bucket/x` }).end();
    return true;
  };
  await assert.rejects(source.fetch(at(`${base}:1.2.0`), limit()), {
    name: "PackageError",
    message: /is none of OUTRIGGER_PLUGIN_HOSTS/,
  });
  const hosts = [registry, storage].map(({ port }) => ({ suffix: false, host: "127.0.0.1", port }));
  const wider = createOciSource(new HostClient({ hosts }));
  assert.deepEqual(await wider.fetch(at(`${base}:1.2.0`), limit()), moduleOf());
  assert.equal(told, undefined);
});

test("a challenge that leads elsewhere, or wants a password, gives nothing away", async () => {
  const { registry, source, base } = await scene();
  registry.put("team/geo", "1.2.0", moduleOf());
  for (const [challenge, message] of [
    ['Bearer realm="http://169.254.169.254/latest",service="x"', /only https is spoken to other machines/],
    ['Bearer realm="https://other.example/token"', /is none of OUTRIGGER_PLUGIN_HOSTS/],
    ['Basic realm="registry"', /asks for credentials/],
  ] as const) {
    registry.hook = (_request, response) => {
      response.writeHead(401, { "www-authenticate": challenge }).end();
      return true;
    };
    await assert.rejects(source.fetch(at(`${base}:1.2.0`), limit()), message);
  }
});

test("locations: what is refused, and what each part is", () => {
  assert.deepEqual(ociPlaceOf("oci://ghcr.io/acme/plugins/geo:1.2.0"), {
    registry: "ghcr.io",
    repository: "acme/plugins/geo",
    reference: "1.2.0",
  });
  for (const location of [
    "oci://ghcr.io",
    "oci://user:pass@ghcr.io/acme/geo",
    "oci://ghcr.io/acme/../geo",
    "oci://ghcr.io/Acme/geo",
    "oci://ghcr.io/acme/geo:1.2.0?x",
    "oci://ghcr.io/acme/geo@sha256:00",
    `oci://ghcr.io/${"a/".repeat(600)}a`,
  ])
    assert.throws(() => ociPlaceOf(location), { name: "PackageError" }, location);
});
