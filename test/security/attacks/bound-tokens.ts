// Tokens and certificates used for something they are not valid for: of other kinds, bound to others' keys, expired or
// revoked, sent in odd ways.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import https from "node:https";
import { TestClock } from "../../plugins/auth/harness.ts";
import { makeAuthority, type Issued } from "../../plugins/auth/authority.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Attack } from "../attack.ts";
import { ask, keys } from "../path-scene.ts";
import { guarded, issuerIn, statusWith } from "../token-scene.ts";

const otherKinds: Attack = {
  row: "Z21",
  what: "shows a refresh, ID or logout token of an issuer without audience as a bearer",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const sidecar = await guarded(scene, {
      guessing: false,
      jwt: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }] },
    });
    for (const claims of [{}, { typ: "Bearer" }, { token_use: "access" }, { type: "member" }]) {
      assert.equal(await statusWith(sidecar, await issuer.sign(claims)), 200, JSON.stringify(claims));
    }
    const others = [
      { typ: "ID" },
      { typ: "Refresh" },
      { typ: "Offline" },
      { token_use: "id" },
      { token_use: "refresh" },
      { token_type: "refresh" },
      { type: "refresh" },
      { events: { "http://schemas.openid.net/event/backchannel-logout": {} } },
      { nonce: "n", at_hash: "x" },
    ];
    for (const claims of others) {
      assert.equal(await statusWith(sidecar, await issuer.sign(claims)), 401, JSON.stringify(claims));
    }
  },
};

/** A sidecar whose TLS listener asks for certificates of an authority. */
async function tlsScene(
  scene: Scene,
  auth: object,
  clock = new TestClock(),
): Promise<{ sidecar: TestSidecar; issue: (name: string) => Issued }> {
  const authority = makeAuthority();
  scene.after(() => authority.close());
  const server = authority.issue("server", "DNS:localhost,IP:127.0.0.1");
  const sidecar = await scene.sidecar({
    policy: { plugins: ["auth", "transform"], pluginConfig: { auth } },
    upstream: (_request, response) => response.end("served"),
    clock,
    env: {
      OUTRIGGER_TLS_CERT: server.certFile,
      OUTRIGGER_TLS_KEY: server.keyFile,
      OUTRIGGER_TLS_CLIENT_CA: authority.certFile,
    },
  });
  return { sidecar, issue: (name) => authority.issue(name, `URI:spiffe://x/${name}`) };
}

/** A client that keeps one connection. */
function clientWith(scene: Scene, { port }: TestSidecar, shown: Issued | undefined) {
  const pair = shown && { key: shown.key, cert: shown.cert };
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, ...pair });
  scene.after(() => agent.destroy());
  return (headers: Record<string, string> = {}): Promise<{ status: number; reused: boolean }> =>
    new Promise((resolve, reject) => {
      const request = https.get({ port, host: "127.0.0.1", agent, headers }, (response) => {
        response
          .resume()
          .on("end", () => resolve({ status: response.statusCode ?? 0, reused: request.reusedSocket }));
      });
      request.on("error", reject);
    });
}

const endedCertificate: Attack = {
  row: "Z22",
  what: "keeps a connection open past the end of its client certificate",
  async run(scene) {
    const clock = new TestClock();
    const certificates = { identities: [{ id: "spiffe://x/*" }] };
    const { sidecar, issue } = await tlsScene(scene, { apiKeys: { keys }, certificates }, clock);
    const asked = clientWith(scene, sidecar, issue("alice"));
    assert.equal((await asked()).status, 200);
    clock.forward(3 * 86_400_000);
    assert.deepEqual(await asked(), { status: 401, reused: true });
    assert.deepEqual(
      (await asked({ "X-Api-Key": "a-good-key" })).status,
      401,
      "a bad credential beside a good one",
    );
  },
};

const othersProof: Attack = {
  row: "Z21",
  what: "steals a token that is bound to its owner's certificate or DPoP key, and shows it as a plain bearer",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const jwt = { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }] };
    const { sidecar, issue } = await tlsScene(scene, { guessing: false, jwt });
    const [alice, mallory] = [issue("alice"), issue("mallory")];
    const thumbprint = Buffer.from(
      new X509Certificate(alice.cert).fingerprint256.replaceAll(":", ""),
      "hex",
    ).toString("base64url");
    const bearer = async (cnf: unknown): Promise<Record<string, string>> => ({
      authorization: `Bearer ${await issuer.sign({ cnf })}`,
    });
    const bound = await bearer({ "x5t#S256": thumbprint });
    assert.equal((await clientWith(scene, sidecar, alice)(bound)).status, 200, "with its certificate");
    assert.equal((await clientWith(scene, sidecar, mallory)(bound)).status, 401, "with another");
    assert.equal((await clientWith(scene, sidecar, undefined)(bound)).status, 401, "with none");
    for (const cnf of [{ jkt: "abc" }, { "x5t#S256": thumbprint, jkt: "abc" }, { kid: "x" }, "x", {}]) {
      const { status } = await clientWith(scene, sidecar, alice)(await bearer(cnf));
      assert.equal(status, 401, JSON.stringify(cnf));
    }
  },
};

const oddlyShown: Attack = {
  row: "Z21",
  what: "writes its bearer token so that only the service reads it, where a credential is not required",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const sidecar = await guarded(scene, {
      required: false,
      guessing: false,
      apiKeys: { keys },
      exclude: ["/open/*"],
      jwt: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }] },
    });
    const odd = ["Bearer\tbad", "Bearer", "Bearer=bad", "Bearer,bad", "Bearer:bad", '"Bearer" bad'];
    odd.push("Basic x, Bearer bad", "Basic x,bearer bad", "ApiKey\tbad", "ApiKey,bad", "apikey=bad");
    for (const value of odd) {
      const fields = [`Authorization: ${value}`];
      assert.equal((await ask(sidecar, "GET", "/", fields)).status, 401, value);
      const { status, body } = await ask(sidecar, "GET", "/open/x", fields);
      assert.equal(status, 200);
      assert.ok(!("authorization" in JSON.parse(body)), `${value} on an excluded path: ${body}`);
    }
    const good = await issuer.sign();
    assert.equal((await ask(sidecar, "GET", "/", [`Authorization: Bearer\t ${good}`])).status, 200);
    for (const value of ["Basic Zm9vOmJhcg==", 'Digest username="bearers"', "BearerX y"]) {
      assert.match((await ask(sidecar, "GET", "/", [`Authorization: ${value}`])).body, /"authorization"/);
    }
  },
};

export const attacks: readonly Attack[] = [otherKinds, endedCertificate, othersProof, oddlyShown];
