// The checks of `outrigger check`, part by part.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { after, describe, test } from "node:test";
import { loadConfig } from "../../../../src/app/environment.ts";
import { pluginsByName } from "../../../../src/app/registry.ts";
import { checkCertificates, expiryOf } from "../../../../src/cli/check/certificates.ts";
import { checkPlugins } from "../../../../src/cli/check/plugins.ts";
import { checkPolicy } from "../../../../src/cli/check/policy.ts";
import { checkProcess, checkStateDir } from "../../../../src/cli/check/process.ts";
import { keysToTry, rightsToTry } from "../../../../src/cli/check/rights.ts";
import type { Bypass } from "../../../../src/intercept/bypass.ts";
import { checkService } from "../../../../src/cli/check/service.ts";
import { checkSignatures } from "../../../../src/cli/check/signing.ts";
import { aclLine } from "../../../../src/cli/redis-acl.ts";
import type { PluginDefinition } from "../../../../src/plugin-api/contract.ts";
import { parseUpstream } from "../../../../src/config/formats.ts";
import { makeCertificate } from "../../../support/certificate.ts";
import { freePort } from "../../../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-check-"));
after(() => rmSync(folder, { recursive: true }));
const dayMs = 86_400_000;

async function listening(server: Server, host: string, port = 0): Promise<number> {
  server.listen(port, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe("the service", () => {
  const states = async (text: string, nowMs = Date.now()) =>
    (await checkService(parseUpstream(text), nowMs)).map(({ name, state }) => `${name} ${state}`);

  test("takes connections, and at no other address", async () => {
    const own = createServer();
    const port = await listening(own, "127.0.0.1");
    try {
      assert.deepEqual(await states(`http://127.0.0.1:${port}`), ["upstream ok", "bypass ok"]);
      const found = async (state: Bypass["state"]) =>
        (
          await checkService(parseUpstream(`http://127.0.0.1:${port}`), Date.now(), () =>
            Promise.resolve({ state, detail: "of that" }),
          )
        )[1];
      const [open, unknown] = [await found("open"), await found("unknown")];
      assert.deepEqual([open?.state, open?.message], ["fail", "of that"]);
      assert.match(open?.advice ?? "", /127\.0\.0\.1 alone, or take its port/);
      assert.deepEqual([unknown?.state, unknown?.message], ["warn", "not known: of that"]);
      assert.equal((await found("intercepted"))?.state, "ok");
    } finally {
      own.close();
    }
  });

  test("is not there, does not speak TLS, or listens at a socket", async () => {
    assert.deepEqual(await states(`http://127.0.0.1:${await freePort()}`), ["upstream fail"]);
    const plain = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const port = await listening(plain, "127.0.0.1");
    assert.deepEqual(await states(`https://127.0.0.1:${port}`), ["upstream fail"]);
    plain.close();
    const path = join(folder, "socket");
    const local = createServer();
    local.listen(path);
    await once(local, "listening");
    assert.deepEqual(await states(`unix:${path}`), ["upstream ok", "bypass ok"]);
    local.close();
  });

  test("has a certificate that ends", async () => {
    const server = createTlsServer(makeCertificate());
    const port = await listening(server, "127.0.0.1");
    try {
      const url = `https://127.0.0.1:${port}`;
      assert.deepEqual(await states(url), ["upstream ok", "certificate warn", "bypass ok"]);
      assert.deepEqual(await states(url, Date.now() + 3 * dayMs), [
        "upstream ok",
        "certificate fail",
        "bypass ok",
      ]);
    } finally {
      server.close();
    }
  });
});

test("certificates of the settings: of a chain the first to end, of authorities the last", () => {
  const { cert, key } = makeCertificate();
  const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  const config = loadConfig({
    OUTRIGGER_TLS_CERT: certFile,
    OUTRIGGER_TLS_KEY: keyFile,
    OUTRIGGER_UPSTREAM_CA: certFile,
  });
  const found = (nowMs: number) => checkCertificates(config, nowMs).map(({ state }) => state);
  assert.deepEqual(found(Date.now()), ["warn", "warn"]);
  assert.deepEqual(found(Date.now() + 3 * dayMs), ["fail", "fail"]);
  assert.deepEqual(found(Date.now() - 60 * dayMs), ["ok", "ok"]);
  assert.match(
    checkCertificates(config, Date.now())[0]?.message ?? "",
    /^OUTRIGGER_TLS_CERT: .*cert\.pem ends on/,
  );
  writeFileSync(certFile, "broken");
  assert.deepEqual(found(Date.now()), ["fail", "fail"]);
  assert.equal(expiryOf("x", dayMs * 30, 0).state, "ok");
});

test("the state directory can be written, or is made", async () => {
  const stateOf = async (env: Record<string, string>) => (await checkStateDir(loadConfig(env)))[0]?.state;
  assert.equal(await stateOf({}), undefined);
  assert.equal(await stateOf({ REDIS_URL: "redis://127.0.0.1:1" }), "warn");
  assert.equal(await stateOf({ OUTRIGGER_STATE_DIR: folder }), "ok");
  assert.equal(await stateOf({ OUTRIGGER_STATE_DIR: join(folder, "later") }), "ok");
  const file = join(folder, "file");
  writeFileSync(file, "");
  assert.equal(await stateOf({ OUTRIGGER_STATE_DIR: file }), "fail");
});

test("the process: its Node and its descriptors", () => {
  const found = checkProcess(loadConfig({}));
  assert.deepEqual(
    found.map(({ name }) => name),
    ["node", "open-files"],
  );
});

test("the policy of a file: right, with warnings, refused, not there, built in", async () => {
  const found = async (text: string | undefined) => {
    const path = join(folder, "policy.yaml");
    if (text !== undefined) writeFileSync(path, text);
    return (await checkPolicy(loadConfig({ OUTRIGGER_POLICY_FILE: path }))).map(({ state }) => state);
  };
  assert.deepEqual(await found(undefined), ["fail"]);
  assert.deepEqual(await found("apiVersion: outrigger/v1\nplugins: [logging]\n"), ["ok", "warn"]);
  assert.deepEqual(await found("apiVersion: outrigger/v1\nroutes: []\n"), ["ok"]);
  assert.deepEqual(await found("apiVersion: outrigger/v1\nplugins: [nosuch]\n"), ["fail"]);
  assert.deepEqual(
    (await checkPolicy(loadConfig({}))).map(({ state }) => state),
    ["warn"],
  );
});

test("every command of the user that redis-acl prints is tried", () => {
  const granted = [...aclLine("orders", "outrigger:").matchAll(/\+([a-z|_]+)/g)].map(
    ([, name]) => name ?? "",
  );
  const spread = { keyPrefix: "outrigger:" };
  const tried = new Set(
    [...rightsToTry("orders", "scratch:x", (name) => name), ...keysToTry("orders", spread)].map(
      ({ right }) => /^\+([a-z|_]+)/.exec(right)?.[1],
    ),
  );
  // By every connection as it is made; and what would leave something behind.
  const byConnecting = ["hello", "auth", "select", "cluster|slots", "cluster|shards", "cluster|nodes"];
  const left = granted.filter((name) => !tried.has(name) && !byConnecting.includes(name));
  // Those behind the first are for the keys of the audit trail alone.
  assert.deepEqual(left, ["hsetnx", "xrange", "hsetnx", "pttl"]);
});

test("a signature that is over fails, one that soon is warns", () => {
  const signed = (exp: number | undefined) => ({
    name: "policy",
    digest: "",
    claims: { kid: undefined, typ: undefined, for: "policy", iat: 0, epoch: undefined, exp },
  });
  const states = [undefined, 50, 100_000, 9_000_000].map(
    (exp) => checkSignatures([signed(exp)], 60_000)[0]?.state,
  );
  assert.deepEqual(states, ["ok", "fail", "warn", "ok"]);
});

test("what plugins look at is shown under their names, and one that fails at it is a line", async () => {
  const like = (name: string, check: PluginDefinition["check"]) =>
    ({ ...(pluginsByName["logging"] as PluginDefinition), name, check }) as PluginDefinition;
  const found = await checkPlugins(loadConfig({}), 0, [
    like("good", (context) =>
      Promise.resolve([
        { name: "file", state: "ok", message: `${context.service} ${context.store === undefined}` },
      ]),
    ),
    like("bad", () => Promise.reject(new Error("no such host"))),
    like("silent", undefined),
  ]);
  assert.deepEqual(
    found.map(({ name, state, message }) => `${name} ${state} ${message}`),
    ["good/file ok default true", "bad warn could not be looked at: no such host"],
  );
});
