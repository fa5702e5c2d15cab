// What proves who sends a request, taken off the wire or out of a log and shown again: elsewhere, later, or as something weaker.
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";
import { DpopClient, withProof } from "../../plugins/auth/dpop-client.ts";
import { connectRaw, requestText } from "../../support/raw-http.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import { issuerIn } from "../token-scene.ts";

/** Sends fields line by line. */
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

export const attacks: readonly Attack[] = [stolenProof];
