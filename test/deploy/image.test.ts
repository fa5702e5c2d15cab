// The content of the image, built with the Dockerfile's own lines: one file, without the sources and node_modules, that
// serves with and without Redis, drains, and answers its health check.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { isBuiltin } from "node:module";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { sbomOf } from "../../deploy/sbom.ts";
import { keyDigest } from "../../plugins/auth/api-keys/key-format.ts";
import { buildImage, entrypointIn, root } from "../support/dockerfile.ts";
import { bundleExtension, pluginCode } from "../support/extensions.ts";
import { startPostgres } from "../support/postgres.ts";
import { digestOf } from "../../src/extensions/package.ts";
import { version } from "../../src/version.ts";
import { startNode, type Started } from "../support/process.ts";
import { eventually, freePort, startRedis } from "../support/redis.ts";
import { scriptGuest } from "../support/wasm/guests.ts";

const { publicKey, privateKey } = await generateKeyPair("RS256");
const everything = {
  apiVersion: "outrigger/v1",
  plugins: ["logging", "cors", "auth", "rate-limit", "cache", "transform"],
  pluginConfig: {
    cors: { origins: ["https://app.example"] },
    auth: {
      jwt: {
        issuers: [
          {
            issuer: "https://id.example",
            jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: "1" }] },
            algorithms: ["RS256"],
            audience: ["api"],
          },
        ],
      },
    },
    "rate-limit": { limits: [{ name: "few", by: "subject", limit: 100, window: "1m", mode: "exact" }] },
    cache: { ttlSeconds: 60, respectOrigin: false },
  },
};

let image: string;
let app: string;
/** Answers at once, but for /slow, which waits until it is told. */
let service: http.Server;
let release: () => void = () => undefined;
const sidecars = new Set<Started>();

before(async () => {
  image = buildImage();
  app = join(image, "app");
  service = http.createServer((request, response) => {
    if (request.url === "/slow") release = () => response.end("slow");
    else response.end(request.headers["x-user-id"] ?? "nobody");
  });
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
});

after(() => {
  for (const { child } of sidecars) child.kill("SIGKILL");
  service.close();
  service.closeAllConnections();
  rmSync(image, { recursive: true });
});

interface Running {
  readonly started: Started;
  readonly url: string;
  readonly admin: string;
}

async function start(env: Record<string, string> = {}): Promise<Running> {
  const started = startNode([...entrypointIn(app).slice(1), "run"], {
    OUTRIGGER_LISTEN: "127.0.0.1:0",
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
    ...env,
  });
  sidecars.add(started);
  const text = await started.said('"msg":"listening"');
  const line = JSON.parse(text.split("\n").find((each) => each.includes('"listening"')) ?? "") as Record<
    string,
    string
  >;
  return { started, url: `http://${line["address"]}`, admin: line["admin"] ?? "" };
}

/** A user by bcrypt, whose password is checked in a thread: "U*U". */
const users = { OUTRIGGER_SECRET_USERS: "old:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" };
const byPassword = { authorization: `Basic ${Buffer.from("old:U*U").toString("base64")}` };

const tokenOf = (sub: string): Promise<string> =>
  new SignJWT({ sub })
    .setProtectedHeader({ alg: "RS256", kid: "1" })
    .setIssuer("https://id.example")
    .setAudience("api")
    .setExpirationTime("1m")
    .sign(privateKey);

async function health(admin: string): Promise<number | null> {
  return (await startNode([join(app, "health.cjs")], { OUTRIGGER_ADMIN: admin }).end).code;
}

test("the image holds the program, its health check and the licences", () => {
  assert.deepEqual(readdirSync(app).sort(), [
    "LICENSE",
    "LICENSES-OF-OTHERS.txt",
    "bcrypt-program.cjs",
    "health.cjs",
    "isolated-vm.node",
    "outrigger.cjs",
    "plugin-process.cjs",
    "policy-thread.cjs",
    "program.cache",
    "program.cjs",
    "sbom.cdx.json",
  ]);
  const licences = readFileSync(join(app, "LICENSES-OF-OTHERS.txt"), "utf8");
  for (const name of ["bcryptjs", "ioredis", "isolated-vm", "jose", "pino", "zod"])
    assert.match(licences, new RegExp(`^${name} \\d`, "m"));
});

test("its bill of materials names what went into it, at its version, and is the same each time", () => {
  const text = readFileSync(join(app, "sbom.cdx.json"), "utf8");
  const { bomFormat, metadata, components } = JSON.parse(text) as {
    bomFormat: string;
    metadata: { component: { name: string; purl: string } };
    components: { name: string; version: string; purl: string; licenses: unknown[]; hashes: unknown[] }[];
  };
  assert.deepEqual([bomFormat, metadata.component.name], ["CycloneDX", "outrigger"]);
  const licences = readFileSync(join(app, "LICENSES-OF-OTHERS.txt"), "utf8");
  for (const [, name, version] of licences.matchAll(/^(\S+) (\d\S*), \S+\n$/gm)) {
    const component = components.find((each) => each.name === name && each.version === version);
    assert.ok(component, `${name} ${version}`);
    assert.ok(component.purl.startsWith("pkg:npm/") && component.licenses.length > 0);
  }
  assert.ok(!components.some(({ name }) => name === "typescript"));
  assert.equal(sbomOf(root), text);
});

test("another build of it is the same, but for the bytecode", () => {
  const again = join(image, "again");
  // Where the other one was made.
  const options = { cwd: join(image, "build"), stdio: "pipe" } as const;
  execFileSync(process.execPath, ["deploy/bundle.ts", again, "--bytecode=off"], options);
  const files = readdirSync(again).sort();
  assert.deepEqual(
    files,
    readdirSync(app)
      .filter((name) => !/^(LICENSE|program\.cache)$/.test(name))
      .sort(),
  );
  for (const name of files)
    assert.ok(readFileSync(join(again, name)).equals(readFileSync(join(app, name))), name);
});

test("the program asks for nothing but what Node brings", () => {
  for (const file of [
    "program.cjs",
    "plugin-process.cjs",
    "policy-thread.cjs",
    "bcrypt-program.cjs",
    "outrigger.cjs",
    "health.cjs",
  ]) {
    const source = readFileSync(join(app, file), "utf8");
    const names = [...source.matchAll(/^let \S+ = require\("([^"]+)"\);$/gm)].map(([, name = ""]) => name);
    assert.ok(names.length > 0, file);
    assert.deepEqual(
      names.filter((name) => !isBuiltin(name)),
      [],
    );
  }
});

test("its bytecode fits the image's flags, and the program runs without it", async () => {
  const [, ...flags] = entrypointIn(app).slice(0, -1);
  const taken = `
    import { compileProgram } from ${JSON.stringify(join(root, "deploy/program.ts"))};
    process.stdout.write(String(compileProgram(${JSON.stringify(app)}).cachedDataRejected));
  `;
  const { stdout } = await startNode([...flags, "--input-type=module", "--eval", taken]).end;
  assert.equal(stdout, "false");
  const other = await startNode(["--no-lazy-feedback-allocation", join(app, "outrigger.cjs"), "--version"])
    .end;
  assert.deepEqual([other.code, other.stderr], [0, ""]);
});

test("a large policy is read by the thread's program beside it, and passwords are checked by another", async () => {
  const policy = join(image, "large.json");
  const routes = Array.from({ length: 2_000 }, (_, index) => ({ path: `/api/service-${index}/items/*` }));
  const plugins = ["logging", "auth"];
  const pluginConfig = { auth: { basic: { users: "SECRET_USERS" } } };
  writeFileSync(policy, JSON.stringify({ apiVersion: "outrigger/v1", plugins, pluginConfig, routes }));
  const { started, url } = await start({ OUTRIGGER_POLICY_FILE: policy, ...users });
  const found = await fetch(`${url}/api/service-1999/items/1`, { headers: byPassword });
  assert.equal(found.status, 200, "so is the password");
  assert.equal((await fetch(`${url}/api/service-1999/items/1`)).status, 401);
  assert.equal((await fetch(`${url}/api/service-2000/items/1`)).status, 404);
  started.child.kill("SIGTERM");
  assert.equal((await started.end).code, 0);
});

test("a plugin of others runs by the program beside it, in a process for each worker", async () => {
  const code = `module.exports = { setup: () => ({ onRequest: ({ request }) => request.fields.set("X-User-Id", "geo") }) };`;
  const { bytes, sha256 } = bundleExtension({ code }).package;
  writeFileSync(join(image, "geo.cjs"), bytes);
  const geo = {
    source: `file:${join(image, "geo.cjs")}`,
    sha256,
    runtime: "process",
    limits: { timeMs: 2_000 },
  };
  const policy = join(image, "extended.json");
  writeFileSync(policy, JSON.stringify({ ...everything, plugins: ["geo"], extensions: { geo } }));
  const listen = `127.0.0.1:${await freePort()}`;
  const { started, url } = await start({
    OUTRIGGER_POLICY_FILE: policy,
    OUTRIGGER_WORKERS: "2",
    OUTRIGGER_LISTEN: listen,
  });
  assert.equal(await (await fetch(`${url}/hello`)).text(), "geo");
  started.child.kill("SIGTERM");
  assert.equal((await started.end).code, 0);
});

test("a plugin of others asks its database by the driver within it", async () => {
  const postgres = await startPostgres();
  try {
    const needs = { database: "SECRET_GEO_DB" };
    const setup = `setup: ({ services }) => ({ async onRequest({ request }) {
      const { rows } = await services.db.query("SELECT $1 || '!' AS said", ["geo"]);
      request.fields.set("X-User-Id", rows[0].said);
    } })`;
    const { bytes, sha256 } = bundleExtension({ code: pluginCode(setup), manifest: { needs } }).package;
    writeFileSync(join(image, "asking.cjs"), bytes);
    const geo = {
      source: `file:${join(image, "asking.cjs")}`,
      sha256,
      runtime: "trusted",
      limits: { timeMs: 5_000 },
    };
    const policy = join(image, "asking.json");
    writeFileSync(policy, JSON.stringify({ ...everything, plugins: ["geo"], extensions: { geo } }));
    const { started, url } = await start({
      OUTRIGGER_POLICY_FILE: policy,
      OUTRIGGER_SECRET_GEO_DB: postgres.url,
    });
    assert.equal(await (await fetch(`${url}/hello`)).text(), "geo!");
    started.child.kill("SIGTERM");
    assert.equal((await started.end).code, 0);
  } finally {
    await postgres.close();
  }
});

test("as one executable it serves on a host without Node or a file beside it: thread, workers and plugins' processes too", async () => {
  const place = join(image, "host");
  mkdirSync(place);
  const program = join(place, "outrigger");
  execFileSync(process.execPath, [join(root, "deploy/executable.ts"), app, program], { stdio: "pipe" });
  const alone = { cwd: place, env: {}, encoding: "utf8" } as const;
  assert.equal(execFileSync(program, ["--version"], alone), `${version}\n`);
  const code = `module.exports = { setup: () => ({ onRequest: ({ request }) => request.fields.set("X-User-Id", "geo") }) };`;
  const { bytes, sha256 } = bundleExtension({ code }).package;
  writeFileSync(join(place, "geo.cjs"), bytes);
  const source = `file:${join(place, "geo.cjs")}`;
  const geo = { source, sha256, runtime: "process", priority: 60, limits: { timeMs: 5_000 } };
  const module = await scriptGuest();
  writeFileSync(join(place, "guest.wasm"), module);
  const guest = {
    source: `file:${join(place, "guest.wasm")}`,
    sha256: digestOf(module),
    runtime: "wasm",
    priority: 61,
    manifest: { name: "guest", version: "1.0.0" },
  };
  // In a folder that others write to.
  writeFileSync(join(place, "isolated-vm.node"), "planted");
  // Long enough for the thread.
  const routes = Array.from({ length: 60 }, (_, index) => ({ path: `/${"x".repeat(1_000)}/${index}` }));
  const byBcrypt = { basic: { users: "SECRET_USERS" } };
  const policy = JSON.stringify({
    ...everything,
    plugins: ["auth", "geo", "guest"],
    extensions: { geo, guest },
    routes: [
      ...routes,
      { path: "/*" },
      { path: "/users", plugins: ["auth"], pluginConfig: { auth: byBcrypt } },
    ],
  });
  writeFileSync(join(place, "policy.json"), policy);
  const port = await freePort();
  const env = {
    OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
    OUTRIGGER_POLICY_FILE: join(place, "policy.json"),
    OUTRIGGER_WORKERS: "2",
    ...users,
    NODE_OPTIONS: "--inspect=127.0.0.1:0",
  };
  const checked = await promisify(execFile)(program, ["check"], {
    ...alone,
    env: { OUTRIGGER_UPSTREAM: env.OUTRIGGER_UPSTREAM },
  });
  assert.match(checked.stdout, /^ok +upstream/m);
  const child = spawn(program, ["run"], { cwd: place, env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (part: Buffer) => (said += part.toString()));
  const ended = once(child, "exit");
  try {
    await eventually("it serves", () => said.includes('"msg":"listening"')).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${said}`);
    });
    const url = `http://127.0.0.1:${port}/x`;
    assert.equal((await fetch(url)).status, 401);
    const answer = await fetch(url, { headers: { authorization: `Bearer ${await tokenOf("u2")}` } });
    assert.deepEqual([answer.status, await answer.text()], [200, "geo"]);
    const user = await fetch(`http://127.0.0.1:${port}/users`, { headers: byPassword });
    assert.equal(user.status, 200);
    assert.match(said, /"reason":"the single executable has no native code","plugin":"guest"/);
  } finally {
    child.kill("SIGTERM");
  }
  assert.deepEqual(await ended, [0, null]);
});

test("a stack names functions and lines of the program", async () => {
  const broken = `import http from "node:http"; http.createServer = () => { throw new Error("no server"); };`;
  const preload = `data:text/javascript,${encodeURIComponent(broken)}`;
  const { code, stderr } = await startNode(["--import", preload, join(app, "outrigger.cjs"), "run"], {
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_LISTEN: "127.0.0.1:0",
  }).end;
  assert.equal(code, 1);
  assert.match(stderr, /cannot start: Error: no server.*\n(?:.*\n)*\s+at \w+.*program\.cjs:\d+:\d+/);
});

test("it loads no client of HTTP that it does not use", async () => {
  const asked = `process.on("exit", () => process.stdout.write(process.moduleLoadList.join("\\n")));`;
  const preload = `data:text/javascript,${encodeURIComponent(asked)}`;
  const { stdout } = await startNode(["--import", preload, join(app, "outrigger.cjs"), "run"], {
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_LISTEN: "unix:/no/such/folder/socket",
  }).end;
  assert.match(stdout, /NativeModule http\b/);
  assert.doesNotMatch(stdout, /undici/);
});

test("its command line answers", async () => {
  const { code, stdout } = await startNode([...entrypointIn(app).slice(1), "policy", "schema"]).end;
  assert.equal(code, 0);
  assert.ok(JSON.parse(stdout));
});

test("it serves without Redis, and a SIGTERM lets the request in flight end", async () => {
  const { started, url } = await start();
  const quick = await fetch(`${url}/hello`);
  assert.equal(await quick.text(), "nobody");
  assert.match(quick.headers.get("x-request-id") ?? "", /./);
  const slow = fetch(`${url}/slow`);
  await once(service, "request");
  started.child.kill("SIGTERM");
  await started.said('"msg":"draining"');
  release();
  assert.equal(await (await slow).text(), "slow");
  const { code, stderr } = await started.end;
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
});

test("several workers serve from the same file", async () => {
  const { started, url } = await start({
    OUTRIGGER_WORKERS: "2",
    OUTRIGGER_LISTEN: `127.0.0.1:${await freePort()}`,
  });
  assert.equal(await (await fetch(`${url}/hello`)).text(), "nobody");
  started.child.kill("SIGTERM");
  assert.equal((await started.end).code, 0);
});

test("with Redis, policy, keys, limits and cache come from there", async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  await redis.cli.set("outrigger:policy", JSON.stringify(everything));
  const record = { id: "k1", userId: "u1", scopes: [] };
  await redis.cli.set(`outrigger:apikey:${keyDigest("a-key")}`, JSON.stringify(record));
  const { started, url, admin } = await start({ REDIS_URL: redis.url });
  await eventually("it is ready", async () => (await health(admin)) === 0);
  assert.equal((await fetch(`${url}/x`)).status, 401);
  const known = await fetch(`${url}/token`, {
    headers: { authorization: `Bearer ${await tokenOf("u2")}` },
  });
  assert.equal(await known.text(), "u2");
  const headers = { "x-api-key": "a-key" };
  const first = await fetch(`${url}/x`, { headers });
  assert.equal(await first.text(), "u1");
  assert.match(first.headers.get("ratelimit") ?? "", /^"few";r=/);
  assert.equal((await fetch(`${url}/x`, { headers })).headers.get("x-cache"), "HIT");
  await redis.cli.set(
    "outrigger:policy",
    JSON.stringify({ apiVersion: "outrigger/v1", plugins: ["logging"] }),
  );
  await eventually("the new policy asks for no key", async () => (await fetch(`${url}/x`)).status === 200);
  started.child.kill("SIGTERM");
  assert.equal((await started.end).code, 0);
});

test("the health check fails where nothing listens, where nobody answers, and while there is no policy", async () => {
  assert.equal(await health(`127.0.0.1:${await freePort()}`), 1);
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  assert.equal(await health(`127.0.0.1:${(silent.address() as AddressInfo).port}`), 1);
  silent.close();
  const { started, admin } = await start({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
  assert.equal(await health(admin), 1);
  started.child.kill("SIGTERM");
  await started.end;
});

test("the health check finds an admin listener on any address and on a socket", async () => {
  const port = await freePort();
  const socket = join(image, "admin.sock");
  for (const [listen, asked] of [
    [`0.0.0.0:${port}`, `0.0.0.0:${port}`],
    [`[::1]:${port}`, `[::1]:${port}`],
    [`unix:${socket}`, `unix:${socket}`],
  ] as const) {
    const { started } = await start({ OUTRIGGER_ADMIN: listen });
    assert.equal(await health(asked), 0, listen);
    started.child.kill("SIGTERM");
    await started.end;
  }
});
