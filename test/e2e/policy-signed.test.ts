// Signed policies from the command to the fleet: applied, renewed, rolled back and moved to another key.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { type Finished, outrigger } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-signed-"));
after(() => rmSync(folder, { recursive: true }));
const path = (name: string): string => join(folder, name);

function policy(mark: string): string {
  const file = path(`${mark}.json`);
  const document = {
    apiVersion: "outrigger/v1",
    plugins: ["transform"],
    pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  };
  writeFileSync(file, JSON.stringify(document));
  return file;
}

interface Made {
  readonly file: string;
  readonly jwks: string;
  readonly kid: string;
}

async function keygen(name: string): Promise<Made> {
  const { code, stdout, stderr } = await outrigger(["policy", "keygen", path(name)]);
  assert.equal(code, 0, stderr);
  const { keys } = JSON.parse(stdout) as { keys: { kid: string }[] };
  return { file: path(name), jwks: stdout, kid: keys[0]?.kid ?? "" };
}

describe("a fleet that takes signed policies alone", () => {
  let redis: RedisServer;
  let sidecar: TestSidecar;
  let ours: Made;
  let next: Made;
  const run = (...args: string[]): Promise<Finished> =>
    outrigger(["policy", ...args], {
      REDIS_URL: redis.url,
      OUTRIGGER_AUTHOR: "ada",
      OUTRIGGER_POLICY_KEYS: ours.jwks,
    });
  async function ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  }
  async function no(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 1, `${args.join(" ")}: ${stdout}${stderr}`);
    return stderr;
  }
  async function applied(mark: string): Promise<void> {
    await ok("apply", policy(mark), "--key", ours.file, "--wait");
    await inForce(mark);
  }
  const inForce = (mark: string): Promise<unknown> =>
    eventually(`in force: ${mark}`, async () => (await fetch(sidecar.url)).headers.get("x-mark") === mark);

  before(async () => {
    [ours, next] = await Promise.all([keygen("ours.json"), keygen("next.json")]);
  });
  beforeEach(async () => {
    redis = await startRedis();
    sidecar = await startSidecar({
      redisUrl: redis.url,
      upstream: (_request, response) => response.end("served"),
      env: {
        OUTRIGGER_POLICY_KEYS: ours.jwks,
        OUTRIGGER_SERVICE: "orders",
        OUTRIGGER_STATE_DIR: mkdtempSync(path("state-")),
      },
    });
  });
  afterEach(async () => {
    await sidecar.stop();
    await redis.close();
  });

  test("apply signs, and says no to what sidecars would refuse", async () => {
    assert.match(await no("apply", policy("one")), /is not signed/);
    assert.match(await no("apply", policy("one"), "--key", next.file), /none of OUTRIGGER_POLICY_KEYS/);
    await applied("one");
    const again = JSON.parse(await ok("apply", policy("one"), "--key", ours.file, "--json")) as object;
    assert.deepEqual(
      { ...again, at: "", digest: "" },
      { ...again, at: "", digest: "", unchanged: true, revision: 1 },
    );
    await applied("two");
    assert.match(await ok("diff", policy("three")), /x-mark: "two" -> "three"/);
  });

  test("what was signed before is not applied after something newer", async () => {
    await applied("one");
    const early = path("early.jws");
    writeFileSync(early, await ok("sign", policy("early"), "--key", ours.file, "--epoch", "5"));
    assert.match(await no("apply", early), /sidecars refuse one of epoch 5: sign it anew, with --key/);
    await ok("apply", early, "--key", ours.file, "--wait");
    await inForce("early");
  });

  test("history and show tell of signatures, and show prints the document", async () => {
    await applied("one");
    await applied("two");
    const { revisions } = JSON.parse(await ok("history", "--json")) as {
      revisions: { signedEpoch: number }[];
    };
    const epochs = revisions.map(({ signedEpoch }) => signedEpoch);
    assert.ok(
      epochs.length === 2 && epochs.every((epoch, at) => at === 0 || epoch < (epochs[at - 1] ?? 0)),
      epochs.join(),
    );
    const { stdout, stderr } = await run("show", "--revision", "1");
    assert.deepEqual(JSON.parse(stdout), JSON.parse(readFileSync(policy("one"), "utf8")));
    assert.match(stderr, new RegExp(`signed by ${ours.kid} with epoch \\d+, verified`));
    assert.match(await ok("show", "--effective", "--service", "orders"), /x-mark/);
  });

  test("rollback needs the key, and signs the old document anew", async () => {
    await applied("one");
    await applied("two");
    assert.match(await no("rollback", "1"), /have it signed anew, with --key FILE/);
    await ok("rollback", "1", "--key", ours.file, "--wait");
    await inForce("one");
  });

  test("a key signs nothing out of Redis that nobody who counts has signed", async () => {
    const forged = readFileSync(policy("forged"), "utf8");
    await redis.cli.set("outrigger:policy", forged);
    await ok("history");
    await ok("apply", policy("two"), "--key", ours.file, "--wait");
    const { revisions } = JSON.parse(await ok("history", "--json")) as {
      revisions: { kind: string; revision: number }[];
    };
    const direct = revisions.find(({ kind }) => kind === "direct")?.revision ?? 0;
    assert.match(await no("rollback", String(direct), "--key", ours.file), /is not signed/);
    const unkeyed = await outrigger(["policy", "rollback", String(direct), "--key", ours.file], {
      REDIS_URL: redis.url,
    });
    assert.match(unkeyed.stderr, /signed by no key that counts/);
    await inForce("two");
  });

  test("a layer goes by an empty one that is signed", async () => {
    await applied("two");
    await ok("apply", policy("layer"), "--service", "orders", "--key", ours.file, "--wait");
    await inForce("layer");
    await redis.cli.del("outrigger:policy:orders");
    await ok("history", "--service", "orders");
    const empty = path("empty.yaml");
    writeFileSync(empty, "apiVersion: outrigger/v1\n");
    await ok("apply", empty, "--service", "orders", "--key", ours.file, "--wait");
    await inForce("two");
    assert.match(
      await no("rollback", "2", "--service", "orders", "--key", ours.file),
      /apply one that is empty/,
    );
  });

  test("epochs go on after Redis has lost everything", async () => {
    await applied("one");
    await applied("two");
    // An epoch is a second: what was signed above within one is ahead of the clock.
    const { revisions } = JSON.parse(await ok("history", "--json")) as {
      revisions: { signedEpoch?: number }[];
    };
    const last = Math.max(0, ...revisions.map(({ signedEpoch }) => signedEpoch ?? 0));
    await eventually("the clock is past them", () => Promise.resolve(Date.now() / 1000 >= last + 1));
    await redis.cli.flushall();
    await applied("after");
    await redis.cli.set(
      "outrigger:applied",
      JSON.stringify({ revision: 1, signedEpoch: Number.MAX_SAFE_INTEGER }),
    );
    await redis.cli.del("outrigger:history");
    await ok("apply", policy("two"), "--key", ours.file);
    await inForce("two");
  });

  test("keys change by a signature, and one that is revoked stays so", async () => {
    const env = { REDIS_URL: redis.url, OUTRIGGER_POLICY_KEYS: ours.jwks };
    const rotate = (...args: string[]): Promise<Finished> => outrigger(["policy", "rotate", ...args], env);
    const layer = path("layer.json");
    writeFileSync(layer, JSON.stringify({ apiVersion: "outrigger/v1" }));
    await ok("apply", policy("held"), "--key", ours.file, "--wait");
    assert.match(
      (await rotate("--key", next.file, "--trust", next.jwks)).stderr,
      /not signed by a key that counts/,
    );
    assert.match((await rotate("--key", ours.file, "--revoke", ours.kid)).stderr, /leaves no key/);
    assert.equal((await rotate("--key", ours.file)).code, 2);
    const named = await rotate("--key", ours.file, "--revoke", "the-old-one");
    assert.deepEqual([named.code, named.stderr.includes("takes the thumbprint of a key")], [2, true]);
    const missing = await rotate("--key", ours.file, "--trust", "/no.jwks");
    assert.deepEqual([missing.code, missing.stderr], [2, "--trust: /no.jwks cannot be read: ENOENT\n"]);
    const { code, stdout, stderr } = await rotate("--key", ours.file, "--trust", next.jwks);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`${ours.kid}, ${next.kid}`));
    // Sidecars that start have the new key in their settings by now, and the operator, too.
    Object.assign(env, { OUTRIGGER_POLICY_KEYS: next.jwks });
    assert.match(
      (await rotate("--key", next.file, "--revoke", ours.kid)).stderr,
      /signed by no key that counts/,
    );
    const applied = await outrigger(["policy", "apply", policy("held"), "--key", next.file, "--wait"], env);
    assert.equal(applied.code, 0, applied.stderr);
    assert.doesNotMatch(applied.stdout, /unchanged/, "the same document, signed anew");
    // The layer would keep sidecars of its service from every new policy.
    await ok("apply", layer, "--service", "orders", "--key", ours.file);
    const orphaned = await rotate("--key", next.file, "--revoke", ours.kid);
    assert.equal(orphaned.code, 1);
    assert.match(orphaned.stderr, /^policy:orders would be signed by no key that counts/);
    const revoked = await rotate("--key", next.file, "--revoke", ours.kid, "--accept-orphaned");
    assert.equal(revoked.code, 0, revoked.stderr);
    const stolen = await ok("sign", policy("stolen"), "--key", ours.file, "--epoch", "9000000000");
    await redis.cli.set("outrigger:policy", stolen.trim());
    const refused = (): boolean =>
      sidecar.lines.some(({ problems }) => /not signed by any/.test(String(problems)));
    await eventually("the stolen key counts no more", () => Promise.resolve(refused()));
    await inForce("held");
  });
});
