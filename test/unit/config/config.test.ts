// The settings: defaults, strict formats, secrets from files, and every problem reported at once.
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import * as fc from "fast-check";
import { describeConfig, loadConfig, settingsTable } from "../../../src/app/environment.ts";
import { ConfigError, ConfigReader, type Environment } from "../../../src/config/config.ts";
import { makeCertificate } from "../../support/certificate.ts";

const directory = mkdtempSync(join(tmpdir(), "outrigger-config-"));
after(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

function problemsOf(env: Environment): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

const listen = (text: string) => {
  const [first, ...others] = loadConfig({ OUTRIGGER_LISTEN: text }).listen;
  return others.length === 0 ? first : [first, ...others];
};
const upstream = (text: string) => loadConfig({ OUTRIGGER_UPSTREAM: text }).upstream;

/** Asserts that the one problem is about this variable and matches. */
function refused(env: Environment, start: string, text = /./): void {
  const problems = problemsOf(env);
  assert.equal(problems.length, 1, JSON.stringify([env, problems]));
  assert.ok(problems[0]?.startsWith(`${start}: `), JSON.stringify(problems));
  assert.match(problems[0] ?? "", text);
}

describe("settings", () => {
  it("have the documented defaults", () => {
    const config = loadConfig({ PATH: "/bin" });
    assert.equal(config.service, "default");
    assert.match(config.instance, /^[\w.-]+$/);
    assert.deepEqual(config.listen, [{ host: "0.0.0.0", port: 8080 }]);
    assert.deepEqual(config.admin, { host: "0.0.0.0", port: 9901 });
    assert.deepEqual(config.upstream, {
      tls: false,
      host: "127.0.0.1",
      port: 3000,
      socketPath: undefined,
      name: "127.0.0.1:3000",
    });
    assert.deepEqual([config.upstreamAllow, config.trustedProxies], [[], []]);
    assert.deepEqual(
      [config.redis, config.policyFile, config.stateDir, config.policyKeys],
      Array(4).fill(undefined),
    );
    assert.deepEqual([config.keyPrefix, config.drainMs, config.logLevel], ["outrigger:", 10_000, "info"]);
    assert.deepEqual([config.workers, config.policyMaxBytes, config.maxBodyBytes], [1, 1_048_576, 0]);
  });

  it("are frozen to the bottom", () => {
    const config = loadConfig({ OUTRIGGER_TRUSTED_PROXIES: "10.0.0.0/8", OUTRIGGER_SECRET_A: "x" });
    for (const value of [
      config,
      config.listen,
      config.trustedProxies,
      config.trustedProxies[0],
      config.secrets,
    ]) {
      assert.ok(Object.isFrozen(value));
    }
  });

  it("ignore the process's own environment and arguments", () => {
    process.env["OUTRIGGER_SERVICE"] = "from-process";
    process.argv.push("--OUTRIGGER_SERVICE", "from-arguments");
    try {
      assert.equal(loadConfig({}).service, "default");
    } finally {
      delete process.env["OUTRIGGER_SERVICE"];
      process.argv.splice(-2);
    }
  });

  it("are reported all at once, one line each, with the variable's name", () => {
    const problems = problemsOf({
      OUTRIGGER_LISTEN: "8080",
      OUTRIGGER_UPSTREAM: "http://10.0.0.7:80",
      OUTRIGGER_DRAIN_MS: "5s",
      OUTRIGGER_WORKERS: "two\nthree",
      LOG_LEVEL: "loud",
      OUTRIGGER_TLS_CERT: "/nowhere/cert.pem",
      OUTRIGGER_LISTN: "x",
    });
    const names = problems.map((problem) => problem.slice(0, problem.indexOf(":"))).sort();
    assert.deepEqual(names, [
      "LOG_LEVEL",
      "OUTRIGGER_DRAIN_MS",
      "OUTRIGGER_LISTEN",
      "OUTRIGGER_LISTN",
      "OUTRIGGER_TLS_CERT",
      "OUTRIGGER_UPSTREAM",
      "OUTRIGGER_WORKERS",
    ]);
    for (const problem of problems) assert.doesNotMatch(problem, /\n/);
  });

  it("refuse unknown OUTRIGGER_ names and say which one was probably meant", () => {
    refused({ OUTRIGGER_LISTN: "x" }, "OUTRIGGER_LISTN", /did you mean OUTRIGGER_LISTEN\?/);
    refused({ OUTRIGGER_UPSTRAEM: "x" }, "OUTRIGGER_UPSTRAEM", /did you mean OUTRIGGER_UPSTREAM\?/);
    refused({ outrigger_service: "x" }, "outrigger_service", /did you mean OUTRIGGER_SERVICE\?/);
    refused({ OUTRIGGER_LISTEN_FILE: "/x" }, "OUTRIGGER_LISTEN_FILE");
    refused({ OUTRIGGER_QQQQQQQQQQQQ: "x" }, "OUTRIGGER_QQQQQQQQQQQQ", /unknown setting$/);
  });

  it("pass over what Kubernetes sets for a Service that is called outrigger", () => {
    loadConfig({
      OUTRIGGER_SERVICE_HOST: "10.96.0.7",
      OUTRIGGER_SERVICE_PORT: "8080",
      OUTRIGGER_SERVICE_PORT_HTTP: "8080",
      OUTRIGGER_PORT: "tcp://10.96.0.7:8080",
      OUTRIGGER_PORT_8080_TCP: "tcp://10.96.0.7:8080",
      OUTRIGGER_PORT_8080_TCP_ADDR: "10.96.0.7",
      OUTRIGGER_DEMO_SERVICE_HOST: "10.96.0.8",
    });
    refused({ OUTRIGGER_PORT: "8080" }, "OUTRIGGER_PORT");
  });

  it("take no empty value where the default is not empty", () => {
    for (const { env, default: fallback } of settingsTable) {
      if (fallback === "") assert.deepEqual(problemsOf({ [env]: "" }), []);
      else refused({ [env]: "" }, env, /empty/);
    }
  });
});

describe("formats", () => {
  it("take whole decimal integers within bounds only", () => {
    for (const text of [
      "12abc",
      "1e3",
      "0x50",
      "5s",
      "-1",
      "+1",
      " 1",
      "1.0",
      "01",
      "9".repeat(20),
      "3600001",
    ]) {
      refused({ OUTRIGGER_DRAIN_MS: text }, "OUTRIGGER_DRAIN_MS", /integer from 0 to 3600000/);
    }
    assert.equal(loadConfig({ OUTRIGGER_DRAIN_MS: "0" }).drainMs, 0);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3_600_000 }), (value) => {
        assert.equal(loadConfig({ OUTRIGGER_DRAIN_MS: String(value) }).drainMs, value);
      }),
      { numRuns: 50 },
    );
  });

  it("take a number of workers or auto", () => {
    assert.equal(loadConfig({ OUTRIGGER_WORKERS: "auto" }).workers, "auto");
    assert.equal(loadConfig({ OUTRIGGER_WORKERS: "4" }).workers, 4);
    refused({ OUTRIGGER_WORKERS: "0" }, "OUTRIGGER_WORKERS", /must be auto or an integer from 1 to 256/);
  });

  it("read listeners", () => {
    assert.deepEqual(listen("127.0.0.1:0"), { host: "127.0.0.1", port: 0 });
    assert.deepEqual(listen("[::1]:8080"), { host: "::1", port: 8080 });
    assert.deepEqual(listen("Localhost:80"), { host: "localhost", port: 80 });
    assert.deepEqual(listen("unix:/run/o.sock"), { path: "/run/o.sock" });
    assert.deepEqual(listen("0.0.0.0:80, [::]:80,unix:/run/o.sock,127.0.0.1:0,127.0.0.1:0"), [
      { host: "0.0.0.0", port: 80 },
      { host: "::", port: 80 },
      { path: "/run/o.sock" },
      { host: "127.0.0.1", port: 0 },
      { host: "127.0.0.1", port: 0 },
    ]);
    // One address, however it is written.
    assert.deepEqual(listen("[0:0::0:1]:80"), { host: "::1", port: 80 });
    assert.deepEqual(listen("[::FFFF:127.0.0.1]:80"), { host: "127.0.0.1", port: 80 });
    for (const text of ["", ",", "[::1]:80,[0::1]:80", "a:1,", "[fe80::1%eth0]:80", "unix:/a,unix:/a"])
      refused({ OUTRIGGER_LISTEN: text }, "OUTRIGGER_LISTEN");
    assert.equal(
      loadConfig({ OUTRIGGER_LISTEN: "unix:/a", OUTRIGGER_LISTEN_MODE: "0660" }).listenMode,
      0o660,
    );
    for (const mode of ["660 ", "1660", "0680", "rw"])
      refused({ OUTRIGGER_LISTEN: "unix:/a", OUTRIGGER_LISTEN_MODE: mode }, "OUTRIGGER_LISTEN_MODE");
    refused({ OUTRIGGER_LISTEN_MODE: "0660" }, "OUTRIGGER_LISTEN_MODE", /needs a unix socket/);
    const reuse = { OUTRIGGER_LISTEN_REUSE_PORT: "on" };
    refused({ ...reuse, OUTRIGGER_LISTEN: "a:1,a:0" }, "OUTRIGGER_LISTEN_REUSE_PORT", /none that is 0/);
    refused({ ...reuse, OUTRIGGER_LISTEN: "unix:/a" }, "OUTRIGGER_LISTEN_REUSE_PORT", /needs a port/);
    const bad = [
      "8080",
      ":8080",
      "host",
      "::1:80",
      "[::1]",
      "1.2.3:80",
      "1.2.3.4:65536",
      "a b:1",
      "unix:o.sock",
    ];
    for (const text of [...bad, `unix:/${"x".repeat(107)}`, "[1.2.3.4]:80", "host:08"]) {
      refused({ OUTRIGGER_LISTEN: text }, "OUTRIGGER_LISTEN");
    }
  });

  it("refuse one address for both listeners", () => {
    refused({ OUTRIGGER_LISTEN: "127.0.0.1:80", OUTRIGGER_ADMIN: "127.0.0.1:80" }, "OUTRIGGER_ADMIN");
    loadConfig({ OUTRIGGER_LISTEN: "127.0.0.1:0", OUTRIGGER_ADMIN: "127.0.0.1:0" });
  });

  it("read upstreams as origins, with a base path where one is given", () => {
    assert.deepEqual(upstream("https://[::1]"), {
      tls: true,
      host: "::1",
      port: 443,
      socketPath: undefined,
      name: "[::1]:443",
    });
    assert.equal(upstream("http://localhost:3000/").name, "localhost:3000");
    assert.equal("basePath" in upstream("http://localhost:3000/"), false);
    assert.equal(upstream("http://localhost:3000/a/b/").basePath, "/a/b");
    assert.equal(upstream("http://127.8.9.1").port, 80);
    assert.equal(upstream("unix:/run/s.sock").socketPath, "/run/s.sock");
    const bad = [
      "127.0.0.1:3000",
      "ftp://localhost",
      "http://localhost/x/../y",
      "http://localhost//x",
      "http://localhost/x%2fy",
      "http://localhost/..",
      "http://localhost/x;y",
      "http://localhost?x",
      "http://localhost:0",
    ];
    for (const text of [
      ...bad,
      "http://localhost:x",
      "http://",
      "http://local host",
      "http://[::1",
      "http://127.1",
    ]) {
      refused({ OUTRIGGER_UPSTREAM: text }, "OUTRIGGER_UPSTREAM");
    }
  });

  it("do not show a password that was written into an upstream", () => {
    refused(
      { OUTRIGGER_UPSTREAM: "http://me:hunter2@localhost:1" },
      "OUTRIGGER_UPSTREAM",
      /^((?!hunter2).)*$/,
    );
  });

  it("let an upstream leave the machine only when it is allowed", () => {
    refused({ OUTRIGGER_UPSTREAM: "http://10.0.0.7:80" }, "OUTRIGGER_UPSTREAM", /OUTRIGGER_UPSTREAM_ALLOW/);
    refused({ OUTRIGGER_UPSTREAM: "http://127.0.0.1.evil.example:80" }, "OUTRIGGER_UPSTREAM");
    const allow = "10.0.0.7:80, *.svc.example:8443";
    const load = (text: string) =>
      problemsOf({ OUTRIGGER_UPSTREAM: text, OUTRIGGER_UPSTREAM_ALLOW: allow }).length === 0;
    assert.ok(load("http://10.0.0.7"));
    assert.ok(load("https://a.SVC.example:8443"));
    assert.ok(!load("https://svc.example:8443"), "the suffix alone is not below itself");
    assert.ok(!load("https://xsvc.example:8443"));
    assert.ok(!load("https://a.svc.example:443"));
    for (const text of ["a", "a:0", "*:80", "*.1.2.3.4:80", "a:1,,b:2", "http://a:1"]) {
      refused({ OUTRIGGER_UPSTREAM_ALLOW: text }, "OUTRIGGER_UPSTREAM_ALLOW");
    }
  });

  it("read trusted networks", () => {
    const config = loadConfig({
      OUTRIGGER_TRUSTED_PROXIES: "10.0.0.0/8, fd00::/8,192.0.2.1,::ffff:10.1.0.0/112",
    });
    assert.deepEqual(config.trustedProxies, [
      { address: "10.0.0.0", prefix: 8, family: "ipv4" },
      { address: "fd00::", prefix: 8, family: "ipv6" },
      { address: "192.0.2.1", prefix: 32, family: "ipv4" },
      { address: "10.1.0.0", prefix: 16, family: "ipv4" },
    ]);
    for (const text of [
      "10/8",
      "10.0.0.0/33",
      "0x7f.0.0.1/8",
      "10.0.0.0/",
      "fe80::%1/64",
      "host/8",
      "1.1.1.1,",
    ]) {
      refused({ OUTRIGGER_TRUSTED_PROXIES: text }, "OUTRIGGER_TRUSTED_PROXIES");
    }
  });

  it("read where Redis is", () => {
    const { redis } = loadConfig({ REDIS_URL: "redis+sentinel://:pw@10.0.0.1,10.0.0.2:26380/main/2" });
    assert.deepEqual(
      [redis?.kind, redis?.masterName, redis?.db, redis?.nodes.length],
      ["sentinel", "main", 2, 2],
    );
    for (const text of ["localhost", "http://localhost", "redis://", "redis://h:0"]) {
      refused({ REDIS_URL: text }, "REDIS_URL");
    }
  });

  it("read public keys inline or from a file, and refuse private ones", () => {
    const jwks = JSON.stringify({ keys: [{ kty: "OKP", crv: "Ed25519", x: "AA" }] });
    assert.equal(loadConfig({ OUTRIGGER_POLICY_KEYS: jwks }).policyKeys?.keys.length, 1);
    assert.equal(loadConfig({ OUTRIGGER_POLICY_KEYS: file("keys.json", jwks) }).policyKeys?.keys.length, 1);
    const secret = JSON.stringify({ keys: [{ kty: "OKP", d: "hunter2" }] });
    refused({ OUTRIGGER_POLICY_KEYS: secret }, "OUTRIGGER_POLICY_KEYS", /private/);
    for (const text of ["{", '{"keys":[]}', '{"keys":[1]}', "/nowhere", file("not.json", "hello")]) {
      refused({ OUTRIGGER_POLICY_KEYS: text }, "OUTRIGGER_POLICY_KEYS");
    }
    refused(
      { OUTRIGGER_POLICY_KEYS: "/run/x" },
      "OUTRIGGER_POLICY_KEYS",
      /: \/run\/x cannot be read: ENOENT$/,
    );
  });

  it("want certificate and key together, readable, PEM, and one made out to the other", () => {
    const [own, other] = [makeCertificate(), makeCertificate()];
    const [cert, key] = [file("cert.pem", own.cert), file("key.pem", own.key)];
    const pair = { OUTRIGGER_TLS_CERT: cert, OUTRIGGER_TLS_KEY: key };
    loadConfig({ ...pair, OUTRIGGER_TLS_CLIENT_CA: file("both.pem", own.cert + other.cert) });
    refused({ OUTRIGGER_TLS_CERT: cert }, "OUTRIGGER_TLS_CERT", /needs OUTRIGGER_TLS_KEY/);
    refused({ OUTRIGGER_TLS_CLIENT_CA: cert }, "OUTRIGGER_TLS_CLIENT_CA", /needs OUTRIGGER_TLS_CERT/);
    refused(
      { OUTRIGGER_PROXY_PROTOCOL: "accept" },
      "OUTRIGGER_PROXY_PROTOCOL",
      /needs OUTRIGGER_TRUSTED_PROXIES/,
    );
    const junk = file("junk", "box-17\n");
    const torn = file("torn.pem", own.cert.replace(/\n.{60}/, "\n"));
    const locked = createPrivateKey(own.key);
    const passphrase = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" } as const;
    const lockedKey = file("locked.pem", locked.export(passphrase));
    const problems: [string, string, string][] = [
      ["OUTRIGGER_TLS_CERT", junk, "holds no PEM certificate"],
      ["OUTRIGGER_TLS_CERT", torn, "holds a PEM certificate that is damaged"],
      ["OUTRIGGER_TLS_CERT", "/run/x", "cannot be read: ENOENT"],
      ["OUTRIGGER_TLS_CLIENT_CA", key, "holds no PEM certificate"],
      ["OUTRIGGER_TLS_KEY", cert, "holds no PEM private key"],
      ["OUTRIGGER_TLS_KEY", lockedKey, "holds a key under a passphrase: give it without one"],
      ["OUTRIGGER_TLS_KEY", file("empty.pem", "\n"), "is an empty file"],
      ["OUTRIGGER_TLS_KEY", file("other.pem", other.key), `is not the key of the certificate in ${cert}`],
    ];
    for (const [name, path, wrong] of problems)
      assert.deepEqual(problemsOf({ ...pair, [name]: path }), [`${name}: ${path} ${wrong}`]);
    const redis = { REDIS_URL: "rediss://127.0.0.1", OUTRIGGER_REDIS_CERT: cert, OUTRIGGER_REDIS_KEY: key };
    loadConfig(redis);
    refused({ ...redis, OUTRIGGER_REDIS_CA: junk }, "OUTRIGGER_REDIS_CA", /holds no PEM certificate$/);
    const wrong = { ...redis, OUTRIGGER_REDIS_KEY: file("other.pem", other.key) };
    refused(wrong, "OUTRIGGER_REDIS_KEY", /is not the key of/);
    refused({ OUTRIGGER_UPSTREAM_CA: junk }, "OUTRIGGER_UPSTREAM_CA", /holds no PEM certificate$/);
    const both = { OUTRIGGER_TLS_CERT: `${cert},${file("other-cert.pem", other.cert)}` };
    loadConfig({ ...both, OUTRIGGER_TLS_KEY: `${key}, ${file("other.pem", other.key)}` });
    refused({ ...both, OUTRIGGER_TLS_KEY: key }, "OUTRIGGER_TLS_KEY", /a key for each of the 2 certificates/);
    refused({ ...both, OUTRIGGER_TLS_KEY: `${key},${key}` }, "OUTRIGGER_TLS_KEY", /is not the key of/);
    refused({ ...pair, OUTRIGGER_TLS_CERT: `${cert},` }, "OUTRIGGER_TLS_CERT", /empty member/);
    refused({ ...pair, OUTRIGGER_TLS_CLIENT_CRL: cert }, "OUTRIGGER_TLS_CLIENT_CRL", /holds no PEM CRL/);
    refused({ OUTRIGGER_UPSTREAM_CERT: cert }, "OUTRIGGER_UPSTREAM_CERT", /needs OUTRIGGER_UPSTREAM_KEY/);
    const spiffe = { OUTRIGGER_SPIFFE_CERT: cert, OUTRIGGER_SPIFFE_KEY: key, OUTRIGGER_SPIFFE_BUNDLE: cert };
    refused(spiffe, "OUTRIGGER_SPIFFE_CERT", /holds no X.509 SVID/);
    refused({ OUTRIGGER_SPIFFE_KEY: key }, "OUTRIGGER_SPIFFE_KEY", /needs OUTRIGGER_SPIFFE_BUNDLE/);
    const to = "orders=10.0.0.7:8443=spiffe://shop.example/orders";
    const egress = { OUTRIGGER_EGRESS: "127.0.0.1:1", OUTRIGGER_EGRESS_TO: to };
    refused(egress, "OUTRIGGER_EGRESS", /needs OUTRIGGER_SPIFFE_CERT/);
    refused({ OUTRIGGER_EGRESS_TO: to }, "OUTRIGGER_EGRESS_TO", /needs OUTRIGGER_EGRESS/);
    const signing = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" });
    const peers = {
      REDIS_URL: "redis://127.0.0.1",
      OUTRIGGER_PEERS: "orders",
      OUTRIGGER_POLICY_KEYS: JSON.stringify({ keys: [{ ...signing, kid: "a", alg: "EdDSA" }] }),
    };
    refused(peers, "OUTRIGGER_PEERS", /needs OUTRIGGER_ADMIN_TOKEN or OUTRIGGER_SPIFFE_CERT/);
    for (const place of ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example:1"])
      refused({ OUTRIGGER_EGRESS: place }, "OUTRIGGER_EGRESS", /must be on loopback/);
    for (const [text, wrong] of [
      ["orders", /must be host=host:port=spiffe/],
      [`${to}=x`, /must be host=host:port=spiffe/],
      [`${to},`, /must be host=host:port=spiffe/],
      [`*.internal=10.0.0.7:1=spiffe://d/a`, /must be host=host:port=spiffe/],
      ["orders=10.0.0.7:8443=spiffe://shop.example/*", /must name the SPIFFE id/],
      ["orders=10.0.0.7:8443/base=spiffe://d/a", /no path/],
      ["orders=169.254.169.254:80=spiffe://d/a", /metadata address/],
      [`${to},ORDERS=10.0.0.8:8443=spiffe://d/a`, /orders twice/],
    ] as const)
      refused({ OUTRIGGER_EGRESS_TO: text }, "OUTRIGGER_EGRESS_TO", wrong);
    const named = { OUTRIGGER_UPSTREAM: "https://127.0.0.1", OUTRIGGER_UPSTREAM_SERVERNAME: "shop.internal" };
    loadConfig(named);
    const inClear = { ...named, OUTRIGGER_UPSTREAM: "http://127.0.0.1" };
    refused(inClear, "OUTRIGGER_UPSTREAM_SERVERNAME", /needs https/);
    const address = { ...named, OUTRIGGER_UPSTREAM_SERVERNAME: "127.0.0.1" };
    refused(address, "OUTRIGGER_UPSTREAM_SERVERNAME", /must be a host name/);
  });

  it("never throw anything but a ConfigError", () => {
    const names = settingsTable.map((row) => row.env);
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.string(), (name, text) => {
        for (const problem of problemsOf({ [name]: text }))
          assert.ok(problem.startsWith(`${name}: `), problem);
      }),
      { numRuns: 300 },
    );
  });
});

describe("secrets", () => {
  it("come from the variable or from a file, whose final line end is cut", () => {
    assert.equal(loadConfig({ OUTRIGGER_ADMIN_TOKEN: "t0ken" }).adminToken, "t0ken");
    for (const end of ["", "\n", "\r\n", "\n\n", " ", "\t\r\n\n"]) {
      const path = file("token", `\uFEFFt0ken${end}`);
      assert.equal(loadConfig({ OUTRIGGER_ADMIN_TOKEN_FILE: path }).adminToken, "t0ken");
      assert.equal(loadConfig({ OUTRIGGER_ADMIN_TOKEN: `t0ken${end}` }).adminToken, "t0ken");
      const named = loadConfig({ OUTRIGGER_SECRET_A_FILE: file("a", "\uFEFFa b \r\n\n") });
      assert.equal(named.secrets["SECRET_A"], "a b ");
    }
    const lines = makeCertificate().key;
    const config = loadConfig({ OUTRIGGER_ASSERTION_KEY_FILE: file("key.pem", lines) });
    assert.equal(config.secrets["ASSERTION_KEY"], lines.trimEnd());
  });

  it("are checked though no policy uses them, and not shown", () => {
    const pepper = "pepper-0123456789";
    const key = Buffer.alloc(32, 1).toString("base64url");
    const { key: pem, cert } = makeCertificate();
    const jwk = createPrivateKey(pem).export({ format: "jwk" });
    const good = {
      OUTRIGGER_API_KEY_PEPPER: [pepper, `${pepper}, ${pepper}`],
      OUTRIGGER_SESSION_KEYS: [key, `${key},${key}=`],
      OUTRIGGER_ASSERTION_KEY: [pem, JSON.stringify(jwk)],
    };
    for (const [name, texts] of Object.entries(good)) for (const text of texts) loadConfig({ [name]: text });
    const { d: _, ...open } = jwk;
    const bad = {
      OUTRIGGER_API_KEY_PEPPER: ["hunter2", `${pepper},hunter2`, `${pepper},`, ","],
      OUTRIGGER_SESSION_KEYS: ["hunter2", `${key},hunter2`, `${key},`, ","],
      OUTRIGGER_ASSERTION_KEY: ["hunter2", "{hunter2", '{"kty":"hunter2"}', JSON.stringify(open), cert],
    };
    for (const [name, texts] of Object.entries(bad))
      for (const text of texts) {
        refused({ [name]: text }, name, /^((?!hunter2).)*$/);
        refused({ [`${name}_FILE`]: file("secret", text) }, name, /^((?!hunter2).)*$/);
      }
  });

  it("all have a _FILE form", () => {
    for (const row of settingsTable) {
      if (!("secret" in row)) continue;
      refused({ [`${row.env}_FILE`]: join(directory, "missing") }, `${row.env}_FILE`, /ENOENT/);
    }
  });

  it("must not come both ways, nor from an empty, missing or endless file", () => {
    const token = "OUTRIGGER_ADMIN_TOKEN";
    refused({ [token]: "a", [`${token}_FILE`]: file("a", "b") }, token, /choose one/);
    refused({ [`${token}_FILE`]: file("blank", "\n") }, `${token}_FILE`, /empty/);
    refused({ [`${token}_FILE`]: "" }, `${token}_FILE`, /empty/);
    refused({ [`${token}_FILE`]: directory }, `${token}_FILE`, /EISDIR/);
    refused({ [`${token}_FILE`]: "/dev/zero" }, `${token}_FILE`, /1 MiB/);
    refused({ [`${token}_FILE`]: "/run/x" }, `${token}_FILE`, /: \/run\/x cannot be read: ENOENT$/);
    refused(
      { [`${token}_FILE`]: "hunter2" },
      `${token}_FILE`,
      /: the file that it names cannot be read: ENOENT$/,
    );
  });

  it("never show in a problem", () => {
    const problems = problemsOf({
      OUTRIGGER_ADMIN_TOKEN: "hunter2 with spaces",
      REDIS_URL: "redis://:hunter2@host:port",
      OUTRIGGER_API_KEY_PEPPER_FILE: "/nowhere",
      OUTRIGGER_SECRET_IDP: "",
      OUTRIGGER_LISTEN: "bad",
    });
    assert.ok(problems.length >= 4);
    assert.doesNotMatch(problems.join("\n"), /hunter2/);
  });

  it("are handed to plugins by name, the built-in ones and those that a policy refers to", () => {
    const config = loadConfig({
      OUTRIGGER_API_KEY_PEPPER: "pepper-0123456789",
      OUTRIGGER_SECRET_IDP_FILE: file("idp", "s3cret\n"),
      OUTRIGGER_ADMIN_TOKEN: "not-for-plugins",
    });
    assert.deepEqual({ ...config.secrets }, { API_KEY_PEPPER: "pepper-0123456789", SECRET_IDP: "s3cret" });
    assert.equal(config.secrets["constructor"], undefined);
  });
});

describe("secrets that a plugin brings", () => {
  const word = { about: "Word that opens the gate", check: (text: string) => checkWord(text) };
  const checkWord = (text: string): string | undefined => {
    if (text === "thrown") throw new Error(text);
    return text.length < 8 ? "must have 8 characters" : undefined;
  };
  const reader = new ConfigReader([{ name: "gate", secrets: { GATE_WORD: word } }, { name: "plain" }]);
  const problem = (env: Environment): string => {
    try {
      reader.load(env);
      return "";
    } catch (error) {
      return (error as ConfigError).message;
    }
  };

  it("are settings: read, described, checked, and read again from their files", () => {
    const path = file("word", "open sesame\n");
    const config = reader.load({ OUTRIGGER_GATE_WORD_FILE: path });
    assert.deepEqual({ ...config.secrets }, { GATE_WORD: "open sesame" });
    assert.equal("OUTRIGGER_GATE_WORD" in config, false);
    assert.deepEqual(reader.describe({ OUTRIGGER_GATE_WORD: "open sesame" }).at(-1), {
      name: "OUTRIGGER_GATE_WORD",
      value: "(set)",
      default: "(unset)",
      set: true,
      doc: word.about,
    });
    assert.equal(problem({ OUTRIGGER_GATE_WORD: "short" }), "OUTRIGGER_GATE_WORD: must have 8 characters");
    assert.equal(problem({ OUTRIGGER_GATE_WORD: "thrown" }), "OUTRIGGER_GATE_WORD: cannot be used");
    assert.match(problem({ OUTRIGGER_GATE_WORT: "x" }), /did you mean OUTRIGGER_GATE_WORD\?/);
    const problems: string[] = [];
    file("word", "close sesame");
    assert.equal(reader.reread(config.secretFiles, config, problems).secrets["GATE_WORD"], "close sesame");
    file("word", "short");
    assert.equal(reader.reread(config.secretFiles, config, problems).secrets["GATE_WORD"], "open sesame");
    assert.deepEqual(problems, ["OUTRIGGER_GATE_WORD_FILE: must have 8 characters"]);
  });

  it("are nobody's who does not bring them", () => {
    assert.throws(() => new ConfigReader([]).load({ OUTRIGGER_GATE_WORD: "open sesame" }), ConfigError);
  });

  it("cannot have the name of a setting, of a file, of another plugin's or of a policy's", () => {
    for (const name of ["ADMIN_TOKEN", "STORE_KEYS", "SERVICE", "SECRET_A", "ADMIN_TOKEN_FILE", "lower", ""])
      assert.throws(
        () => new ConfigReader([{ name: "greedy", secrets: { [name]: word } }]),
        /plugin "greedy" brings a secret/,
        name,
      );
    const two = [
      { name: "one", secrets: { WORD: word } },
      { name: "two", secrets: { WORD: word } },
    ];
    assert.throws(() => new ConfigReader(two), /plugin "two" brings a secret WORD/);
  });
});

describe("the description of all settings", () => {
  it("has doc, default and current value, and hides secrets", () => {
    const rows = describeConfig({
      OUTRIGGER_SERVICE: "users",
      REDIS_URL: "redis://:hunter2@127.0.0.1",
      OUTRIGGER_SECRET_IDP: "hunter2",
    });
    const row = (name: string) => rows.find((one) => one.name === name);
    assert.deepEqual(
      [row("OUTRIGGER_SERVICE")?.value, row("OUTRIGGER_SERVICE")?.default],
      ["users", "default"],
    );
    assert.equal(row("OUTRIGGER_SERVICE")?.set, true);
    assert.equal(row("OUTRIGGER_DRAIN_MS")?.value, "10000");
    assert.equal(row("REDIS_URL")?.value, "(set)");
    assert.equal(row("OUTRIGGER_ADMIN_TOKEN")?.value, "(unset)");
    assert.equal(row("OUTRIGGER_SECRET_IDP")?.value, "(set)");
    assert.doesNotMatch(JSON.stringify(rows), /hunter2/);
    for (const one of rows) assert.match(one.doc, /^[A-Z].{10}/);
  });

  it("reports the problems of a wrong environment", () => {
    assert.throws(() => describeConfig({ LOG_LEVEL: "loud" }), ConfigError);
  });
});
