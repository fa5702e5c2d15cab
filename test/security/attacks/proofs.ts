// Proofs of the sender, taken off the wire or out of a log and replayed: elsewhere, later, or as something weaker.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import type { Attack } from "../attack.ts";
import { DpopClient, withProof } from "../../plugins/auth/dpop-client.ts";
import { RequestSigner } from "../../plugins/auth/request-signer.ts";
import { connectRaw, requestText } from "../../support/raw-http.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import { issuerIn } from "../token-scene.ts";

/**
 * Sends fields line by line.
 * @returns the status
 */
async function statusOf({ port }: TestSidecar, target: string, pairs: readonly string[], method = "GET") {
  const client = await connectRaw(port);
  const lines = pairs.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${pairs[i + 1]}`] : []));
  client.send(requestText(method, target, ["Connection: close", ...lines]));
  const { status } = await client.answer();
  client.end();
  return status;
}

const stolenProof: Attack = {
  row: "Z74",
  what: "replays a bound token with its owner's proof: once more, at another sidecar, path, method, and as a bearer",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const redis = await scene.redis();
    const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audience: ["api"], dpop: "accept" }];
    const auth = { guessing: false, jwt: { issuers, from: ["header", "query:token"] } };
    const policy = { apiVersion: "outrigger/v1", plugins: ["auth"], pluginConfig: { auth } };
    await redis.cli.set("outrigger:policy", JSON.stringify(policy));
    const start = () =>
      scene.sidecar({ redisUrl: redis.url, upstream: (_request, response) => response.end("served") });
    const [one, two] = [await start(), await start()];
    const owner = await DpopClient.create();
    const token = await issuer.sign({ cnf: { jkt: owner.jkt } });
    const host = "api.example";
    const prove = (htm = "GET", htu = `http://${host}/a`) => owner.prove({ token, htm, htu });
    const seen = withProof(token, await prove());
    assert.equal(await statusOf(one, "/a", seen), 200, "the owner");
    assert.deepEqual([await statusOf(one, "/a", seen), await statusOf(two, "/a", seen)], [401, 401], "again");
    assert.equal(await statusOf(two, "/b", withProof(token, await prove())), 401, "another path");
    assert.equal(await statusOf(two, "/a", withProof(token, await prove()), "DELETE"), 401, "another method");
    const fresh = await prove();
    assert.equal(await statusOf(two, "/a", [...seen, "DPoP", fresh]), 401, "two proofs");
    assert.equal(
      await statusOf(two, "/a", ["Authorization", `Bearer ${token}`, "DPoP", fresh]),
      401,
      "bearer",
    );
    assert.equal(await statusOf(two, `/a?token=${token}`, []), 401, "in the query");
    const mallory = await DpopClient.create();
    const own = await mallory.prove({ token, htu: `http://${host}/a` });
    assert.equal(await statusOf(two, "/a", withProof(token, own)), 401, "another's key");
    assert.equal(await statusOf(two, "/a", withProof(token, fresh)), 200, "none of which took the owner's");
  },
};

const copiedSignature: Attack = {
  row: "Z74",
  what: "copies a signed request: once more, with another body, target or signer, and with less of it signed",
  async run(scene) {
    const secret = "0123456789abcdef0123456789abcdef";
    const key = { keyId: "batch", algorithm: "hmac-sha256", secret: "SECRET_BATCH", userId: "batch" };
    const other = { ...key, keyId: "admin", secret: "SECRET_ADMIN", userId: "admin" };
    const auth = { guessing: false, apiKeys: false, signatures: { keys: [key, other] } };
    const heard: string[] = [];
    const sidecar = await scene.sidecar({
      policy: { plugins: ["auth"], pluginConfig: { auth } },
      upstream(request, response) {
        request.on("data", (chunk: Buffer) => heard.push(chunk.toString()));
        request.on("end", () => response.end("served"));
      },
      env: { OUTRIGGER_SECRET_BATCH: secret, OUTRIGGER_SECRET_ADMIN: secret.toUpperCase() },
    });
    const digest = `sha-256=:${hash("sha256", "pay 1", "base64")}:`;
    const parts = [
      ['"@method"', "POST"],
      ['"@authority"', "api.example"],
      ['"@target-uri"', "http://api.example/pay"],
      ['"content-digest"', digest],
    ] as const;
    const sign = (count = 4) => new RequestSigner("batch", secret).fields({ covered: parts.slice(0, count) });
    const send = async (signed: string[], body = "pay 1", target = "/pay"): Promise<number> => {
      const client = await connectRaw(sidecar.port);
      const pairs = [...signed, "Content-Digest", digest, "Content-Length", String(body.length)];
      const lines = pairs.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${pairs[i + 1]}`] : []));
      client.send(requestText("POST", target, ["Connection: close", ...lines]) + body);
      const { status } = await client.answer();
      client.end();
      return status;
    };
    const seen = sign();
    assert.equal(await send(sign(), "pay 9"), 401, "another body");
    assert.equal(await send(seen), 200, "the owner");
    assert.equal(await send(seen), 401, "again");
    assert.equal(await send(sign(), "pay 1", "/pay?to=mallory"), 401, "another target");
    assert.equal(await send(sign(3), "pay 1"), 401, "without its body signed");
    const renamed = sign().map((value) => value.replace('keyid="batch"', 'keyid="admin"'));
    assert.equal(await send(renamed), 401, "another signer");
    const weaker = sign().map((value) => value.replace(";keyid", ';alg="none";keyid'));
    assert.equal(await send(weaker), 401, "another algorithm");
    assert.deepEqual(heard, ["pay 1"]);
  },
};

export const attacks: readonly Attack[] = [stolenProof, copiedSignature];
