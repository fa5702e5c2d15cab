import assert from "node:assert/strict";
import { once } from "node:events";
import type http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, before, test } from "node:test";
import type { HostPattern } from "../../../src/config/formats.ts";
import { HostClient } from "../../../src/extensions/host-client.ts";
import { createHttpsSource } from "../../../src/extensions/https-source.ts";
import type { PackageSource } from "../../../src/extensions/source.ts";
import { type Certificate, makeCertificate } from "../../support/certificate.ts";
import { moduleOf } from "./sample-packages.ts";
import { testSource } from "./source-suite.ts";

let certificate: Certificate;
before(() => {
  certificate = makeCertificate();
});
const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

interface Scene {
  readonly source: PackageSource;
  readonly port: number;
  readonly files: Map<string, Buffer>;
  readonly close: () => Promise<void>;
}

async function scene(listener?: http.RequestListener, more: readonly HostPattern[] = []): Promise<Scene> {
  const files = new Map<string, Buffer>();
  const server = https.createServer(
    certificate,
    listener ??
      ((request, response) => {
        const found = files.get(request.url ?? "");
        if (found === undefined) response.writeHead(404).end();
        else response.end(found);
      }),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  open.push(close);
  const hosts = [{ suffix: false, host: "localhost", port }, ...more];
  return { source: createHttpsSource(new HostClient({ hosts, ca: certificate.cert })), port, files, close };
}

const limit = (ms = 5_000): AbortSignal => AbortSignal.timeout(ms);
const at = (location: string) => ({ name: "geo", location, version: undefined });

testSource("https:", async () => {
  const { source, port, files, close } = await scene();
  const plugins: { name: string; version: string; file: string }[] = [];
  const base = `https://localhost:${port}/plugins`;
  return {
    source,
    put: (version, bytes, signature) => {
      files.set(`/plugins/geo@${version}.wasm`, bytes);
      if (signature !== undefined)
        files.set(`/plugins/geo@${version}.wasm.sig`, Buffer.from(`${signature}\n`));
      plugins.push({ name: "geo", version, file: `geo@${version}.wasm` });
      files.set("/plugins/index.json", Buffer.from(JSON.stringify({ plugins })));
      return Promise.resolve();
    },
    location: (version) => (version === undefined ? `${base}/index.json` : `${base}/geo@${version}.wasm`),
    all: `${base}/index.json`,
    lose: close,
  };
});

test("hosts that OUTRIGGER_PLUGIN_HOSTS does not name are not asked: by location, by redirect, by an index", async () => {
  const { source, port, files } = await scene();
  for (const location of [
    `https://127.0.0.1:${port}/x`,
    "https://localhost/x",
    "https://localhost.evil.example/x",
  ])
    await assert.rejects(source.fetch(at(location), limit()), {
      name: "PackageError",
      message: /is none of OUTRIGGER_PLUGIN_HOSTS/,
    });
  files.set(
    "/index.json",
    Buffer.from('{"plugins":[{"name":"geo","version":"1.2.0","file":"https://evil.example/x.wasm"}]}'),
  );
  const wanted = { ...at(`https://localhost:${port}/index.json`), version: "1.2.0" };
  await assert.rejects(source.fetch(wanted, limit()), /is none of OUTRIGGER_PLUGIN_HOSTS/);
  const redirecting = await scene((request, response) => {
    const elsewhere = request.url === "/plain" ? "http://localhost/x" : "https://evil.example/x";
    response.writeHead(302, { location: elsewhere }).end();
  });
  for (const path of ["plain", "other"])
    await assert.rejects(
      redirecting.source.fetch(at(`https://localhost:${redirecting.port}/${path}`), limit()),
      {
        name: "PackageError",
        message: /is none of OUTRIGGER_PLUGIN_HOSTS/,
      },
    );
});

test("redirects to the host itself are followed, three of them", async () => {
  const { source, port } = await scene((request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) response.end(moduleOf());
    else response.writeHead(302, { location: `/${left - 1}` }).end();
  });
  assert.deepEqual(await source.fetch(at(`https://localhost:${port}/3`), limit()), moduleOf());
  await assert.rejects(
    source.fetch(at(`https://localhost:${port}/4`), limit()),
    /redirects more than 3 times/,
  );
});

test("addresses where clouds hand out credentials are never asked, named or not", async () => {
  const { source } = await scene(undefined, [{ suffix: false, host: "169.254.169.254", port: 443 }]);
  await assert.rejects(source.fetch(at("https://169.254.169.254/latest"), limit()), {
    name: "PackageError",
    message: /link-local or metadata address/,
  });
});

test("a certificate that nobody vouches for, a password in the location, another scheme: refused", async () => {
  const { port } = await scene();
  const strict = createHttpsSource(new HostClient({ hosts: [{ suffix: false, host: "localhost", port }] }));
  await assert.rejects(strict.fetch(at(`https://localhost:${port}/x`), limit()), {
    name: "PackageUnavailable",
    message: /SELF_SIGNED/,
  });
  await assert.rejects(strict.fetch(at(`https://me:secret@localhost:${port}/x`), limit()), (error: Error) => {
    assert.match(error.message, /a user or password has no place/);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
  await assert.rejects(strict.fetch(at(`http://localhost:${port}/x`), limit()), /no https URL/);
});

test("a server that trickles, or stops, ends with the attempt's time", async () => {
  const { source, port } = await scene((_request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    const timer = setInterval(() => response.write("x"), 20);
    response.on("close", () => clearInterval(timer));
  });
  await assert.rejects(source.fetch(at(`https://localhost:${port}/x`), limit(120)), {
    name: "PackageUnavailable",
    message: /no answer in time/,
  });
});

test("a body without an announced length ends at the limit, one that is cut off is not a package", async () => {
  const endless = await scene((_request, response) => {
    const more = (): void => {
      while (response.write(Buffer.alloc(1_048_576)) && !response.destroyed);
    };
    response.on("drain", more);
    more();
  });
  await assert.rejects(endless.source.fetch(at(`https://localhost:${endless.port}/x`), limit()), {
    name: "PackageError",
    message: /more than 16777216 bytes/,
  });
  const cut = await scene((_request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("x", () => response.destroy());
  });
  await assert.rejects(cut.source.fetch(at(`https://localhost:${cut.port}/x`), limit()), {
    name: "PackageUnavailable",
  });
});

test("a server that goes over to another protocol gives no package", async () => {
  const { source, port } = await scene((request) => {
    request.socket.end("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
  });
  await assert.rejects(source.fetch(at(`https://localhost:${port}/x`), limit()), {
    name: "PackageUnavailable",
    message: /answers with another protocol/,
  });
});

test("an index that is none is refused", async () => {
  const { source, port, files } = await scene();
  const location = `https://localhost:${port}/index.json`;
  for (const [text, message] of [
    ["<html>", /the index is not JSON/],
    ['{"plugins":{}}', /the index is wrong at "plugins"/],
    ['{"plugins":[{"name":"../x","version":"1.0.0","file":"x"}]}', /wrong at "plugins.0.name"/],
  ] as const) {
    files.set("/index.json", Buffer.from(text));
    await assert.rejects(source.list(location, limit()), { name: "PackageError", message });
  }
});
