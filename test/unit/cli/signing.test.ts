// `outrigger policy keygen`, `sign` and `verify` as a user runs them.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { isPrivate } from "../../../src/plane/private-key.ts";
import { outrigger } from "../../support/process.ts";

const directory = mkdtempSync(join(tmpdir(), "outrigger-signing-"));
after(() => rmSync(directory, { recursive: true }));
const path = (name: string): string => join(directory, name);

function file(name: string, text: string, mode = 0o600): string {
  writeFileSync(path(name), text, { mode });
  return path(name);
}

async function keygen(name: string): Promise<{ key: string; keys: string; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await outrigger(["policy", "keygen", path(name)]);
  assert.equal(code, 0, stderr);
  return { key: path(name), keys: stdout, stdout, stderr };
}

async function sign(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await outrigger(["policy", "sign", ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

const ours = await keygen("ours.json");
const policy = file("policy.yaml", "# of the fleet\napiVersion: outrigger/v1\nplugins: [logging]\n");

describe("outrigger policy keygen", () => {
  it("writes the private key for its owner alone, and prints none of it", async () => {
    const { d } = JSON.parse(readFileSync(ours.key, "utf8")) as { d: string };
    assert.equal(statSync(ours.key).mode & 0o777, 0o600);
    assert.equal(`${ours.stdout}${ours.stderr}`.includes(d), false);
    const [jwk] = (JSON.parse(ours.keys) as { keys: Record<string, unknown>[] }).keys;
    assert.deepEqual(Object.keys(jwk ?? {}), ["kty", "crv", "x", "kid", "alg", "use"]);
  });

  it("may be mounted by Kubernetes: root's, and readable by the pod's group", () => {
    const nobody = 65_532;
    assert.equal(isPrivate({ mode: 0o100_440, uid: 0 }, nobody), true);
    for (const [mode, uid, own] of [
      [0o440, nobody, nobody],
      [0o440, 0, 0],
      [0o444, 0, nobody],
      [0o460, 0, nobody],
      [0o440, 0, undefined],
    ] as const)
      assert.equal(isPrivate({ mode, uid }, own), false);
    assert.equal(isPrivate({ mode: 0o600, uid: nobody }, nobody), true);
  });

  it("overwrites no file", async () => {
    const before = readFileSync(ours.key, "utf8");
    const { code, stdout, stderr } = await outrigger(["policy", "keygen", ours.key]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /is there already/);
    assert.equal(readFileSync(ours.key, "utf8"), before);
  });
});

describe("outrigger policy sign and verify", () => {
  it("signs YAML as canonical JSON for one key, and tells what it claims", async () => {
    const signed = file("signed.jws", await sign(policy, "--key", ours.key, "--expires", "1d"));
    const verified = await outrigger(["policy", "verify", signed, "--json"], {
      OUTRIGGER_POLICY_KEYS: ours.keys,
    });
    assert.equal(verified.code, 0, verified.stderr);
    const told = JSON.parse(verified.stdout) as Record<string, unknown>;
    assert.equal(told["for"], "policy");
    assert.ok(Math.abs((told["epoch"] as number) - Date.now() / 1000) < 60);
    const lastsMs = Date.parse(told["expiresAt"] as string) - Date.parse(told["signedAt"] as string);
    assert.equal(lastsMs, 86_400_000);
    const payload = readFileSync(signed, "utf8").split(".")[1] as string;
    assert.equal(
      Buffer.from(payload, "base64url").toString(),
      '{"apiVersion":"outrigger/v1","plugins":["logging"]}',
    );
  });

  it("signs no service's layer that brings extensions: sidecars would refuse it", async () => {
    const layer = file("layer.yaml", "apiVersion: outrigger/v1\nextensions: {}\n");
    const args = ["policy", "sign", layer, "--key", ours.key];
    const { code, stdout, stderr } = await outrigger([...args, "--service", "users"]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(
      stderr,
      /layer\.yaml, line 2, column \d+: extensions: only the shared policy has extensions/,
    );
    await sign(layer, "--key", ours.key);
  });

  it("verify says no to another key, another place, what is over and what is not signed", async () => {
    const theirs = await keygen("theirs.json");
    const signed = file("for-users.jws", await sign(policy, "--key", ours.key, "--service", "users"));
    const says = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await outrigger(["policy", "verify", ...args]);
      assert.deepEqual([code, stdout], [1, ""]);
      return stderr;
    };
    const keys = ["--keys", ours.keys];
    assert.match(await says(signed, "--keys", theirs.keys, "--service", "users"), /not signed by any/);
    assert.match(await says(signed, ...keys), /was signed for "policy:users", which is another key/);
    assert.match(await says(policy, ...keys), /is not signed/);
    const none = await outrigger(["policy", "verify", signed]);
    assert.deepEqual([none.code, none.stdout], [2, ""]);
    assert.match(none.stderr, /OUTRIGGER_POLICY_KEYS/);
    for (const wrong of ["/nowhere.json", file("no-keys.json", '{"keys":[{"kty":"none"}]}')]) {
      const { code, stderr } = await outrigger(["policy", "verify", signed, "--keys", wrong]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /^--keys: /, "by the name that it was given under");
    }
  });

  it("sign refuses a policy that is wrong, with its place, and prints nothing", async () => {
    const wrong = file("wrong.yaml", "apiVersion: outrigger/v1\nplugins: [lgging]\n");
    const { code, stdout, stderr } = await outrigger(["policy", "sign", wrong, "--key", ours.key]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /unknown plugin "lgging"/);
  });

  it("sign takes PKCS #8 PEM too, and refuses other keys with a sentence that quotes none of them", async () => {
    const pem = (type: "ed25519" | "x25519"): string =>
      generateKeyPairSync(type as "ed25519").privateKey.export({ format: "pem", type: "pkcs8" });
    await sign(policy, "--key", file("key.pem", pem("ed25519")));
    const own = JSON.parse(readFileSync(ours.key, "utf8")) as Record<string, string>;
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const encrypted = generateKeyPairSync("ed25519").privateKey.export({
      format: "pem",
      type: "pkcs8",
      cipher: "aes-256-cbc",
      passphrase: "p",
    });
    const refused: [string, RegExp][] = [
      [file("loose.json", JSON.stringify(own), 0o640), /chmod 600/],
      [file("public.json", JSON.stringify({ ...own, d: undefined })), /is a public key/],
      [
        file("mixed.json", JSON.stringify({ ...own, x: own["d"] })),
        /belongs to another key|no valid private key/,
      ],
      [file("enc.json", JSON.stringify({ ...own, use: "enc" })), /not for signatures/],
      [file("twice.json", JSON.stringify(own).replace("{", '{"d":"AA",')), /a member twice/],
      [file("ec.json", JSON.stringify(ec.export({ format: "jwk" }))), /no Ed25519 key/],
      [file("ec.pem", ec.export({ format: "pem", type: "pkcs8" })), /no Ed25519 key/],
      [file("sec1.pem", ec.export({ format: "pem", type: "sec1" })), /no private key in PKCS #8/],
      [file("x.pem", pem("x25519")), /no Ed25519 key/],
      [file("locked.pem", encrypted), /is encrypted/],
      [file("junk", "hunter2"), /no valid private key/],
      [directory, /not a regular file/],
      [path("none"), /cannot be read: ENOENT/],
    ];
    for (const [key, message] of refused) {
      const { code, stdout, stderr } = await outrigger(["policy", "sign", policy, "--key", key]);
      assert.deepEqual([code, stdout], [1, ""], stderr);
      assert.match(stderr, message);
      assert.equal(stderr.includes("hunter2") || stderr.includes(own["d"] as string), false, stderr);
    }
  });

  it("wrong arguments exit 2", async () => {
    for (const args of [
      [policy],
      [policy, "--key", ours.key, "--expires", "soon"],
      [policy, "--key", ours.key, "--epoch", "0"],
    ]) {
      const { code, stdout } = await outrigger(["policy", "sign", ...args]);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    }
  });
});
