// Bearer tokens, and the authorization servers behind them, with the faults that occur in practice.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { compact, makeSigningKey } from "../../plugins/auth/token-issuer.ts";
import { eventually } from "../../support/redis.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Attack } from "../attack.ts";
import { endpointIn, guarded, issuerIn, statusWith } from "../token-scene.ts";

const secret = { OUTRIGGER_SECRET_CLIENT: "a password of the sidecar" };
const introspectionAt = (endpoint: string): object => ({
  endpoint,
  clientId: "sidecar",
  clientSecret: "SECRET_CLIENT",
});

const opaqueWithDots: Attack = {
  row: "Z30",
  what: "opaque tokens with two dots are refused unasked where introspection is configured",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const endpoint = await endpointIn(scene, (_request, response) =>
      response.end('{"active":true,"sub":"u1"}'),
    );
    const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri }];
    const jwt = { issuers, introspection: introspectionAt(endpoint.url) };
    const sidecar = await guarded(scene, { guessing: false, jwt }, secret);
    // Random bytes, JSON that is no object, and an object that names no algorithm.
    for (const token of ["v2.local.Gdh5kiOTyy", compact("[1]", "{}"), compact({ kid: "x" }, "{}")]) {
      assert.equal(await statusWith(sidecar, token), 200, token);
    }
    assert.equal(endpoint.asked, 3);
    for (const token of [await issuer.sign(), compact({ alg: "none" }, { iss: issuer.url })]) {
      assert.equal(await statusWith(sidecar, token), token.endsWith(".AAAA") ? 401 : 200);
    }
    assert.equal(endpoint.asked, 3, "a JWT is its issuer's matter");
  },
};

const spentFetches: Attack = {
  row: "Z28",
  what: "junk key ids spend the look-ups, and a good token of a new key is remembered as bad",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri }];
    const auth = { guessing: false, jwt: { issuers, jwksCooldownSeconds: 1 } };
    const sidecar = await guarded(scene, auth);
    assert.equal(await statusWith(sidecar, await issuer.sign()), 200);
    const claims = { iss: issuer.url, sub: "u1", exp: Math.floor(Date.now() / 1000) + 600 };
    for (let i = 0; i < 8; i += 1) {
      assert.equal(await statusWith(sidecar, compact({ alg: "ES256", kid: `junk${i}` }, claims)), 401);
    }
    const token = await issuer.sign({}, { key: await issuer.rotate("second", "keep") });
    await eventually("looked up", async () => (await statusWith(sidecar, token)) === 200, 4_000);
  },
};

const junkInKeySets: Attack = {
  row: "Z29",
  what: "one odd entry in a key set shuts out every token of the issuer",
  async run(scene) {
    const odd = [null, "key", 7, [], { kid: "x" }, { kty: "AKP", kid: "pq" }, { kty: "RSA", kid: "bare" }];
    const issuer = await issuerIn(scene);
    issuer.respond = (_request, response) => response.end(issuer.jwks(...odd));
    const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri }];
    const remote = await guarded(scene, { jwt: { issuers } });
    assert.equal(await statusWith(remote, await issuer.sign()), 200);
    await told(remote);
    const jwks = { keys: [{ kty: "AKP", kid: "pq" }, issuer.keys[0]?.jwk] };
    const inline = await guarded(scene, { jwt: { issuers: [{ issuer: issuer.url, jwks }] } });
    assert.equal(await statusWith(inline, await issuer.sign()), 200);
    await told(inline);
  },
};

async function told(sidecar: TestSidecar): Promise<void> {
  const line = await sidecar.line(({ skipped }) => Array.isArray(skipped));
  assert.match(JSON.stringify(line["skipped"]), /kty AKP/);
}

const oddKeySets: Attack = {
  row: "Z33",
  what: "a key set with a byte order mark, gzip unasked, behind a redirect, or empty for a moment shuts out all",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const answers: ((response: Parameters<NonNullable<typeof issuer.respond>>[1], path: string) => void)[] = [
      (response) => response.end(`\uFEFF${issuer.jwks()}`),
      (response) => response.setHeader("content-encoding", "gzip").end(gzipSync(issuer.jwks())),
      (response, path) =>
        path === "/jwks"
          ? response.writeHead(302, { location: "/moved" }).end()
          : response.end(issuer.jwks()),
    ];
    for (const answer of answers) {
      issuer.respond = (request, response) => answer(response, request.url ?? "");
      const sidecar = await guarded(scene, {
        jwt: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }] },
      });
      assert.equal(await statusWith(sidecar, await issuer.sign()), 200, String(answer));
    }
    await emptyForAMoment(await issuerIn(scene), scene);
    await elsewhere(scene);
  },
};

async function emptyForAMoment(
  issuer: Awaited<ReturnType<typeof issuerIn>>,
  scene: Parameters<Attack["run"]>[0],
): Promise<void> {
  const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri }];
  const sidecar = await guarded(scene, { guessing: false, jwt: { issuers } });
  const token = await issuer.sign();
  assert.equal(await statusWith(sidecar, token), 200);
  issuer.respond = (_request, response) => response.end('{"keys":[]}');
  const unknown = await issuer.sign({}, { key: await makeSigningKey("unknown") });
  assert.equal(await statusWith(sidecar, unknown), 503, "nobody can tell");
  const line = await sidecar.line(({ msg }) => String(msg).startsWith("an issuer's keys cannot be fetched"));
  assert.match(JSON.stringify(line), /the key set is empty/);
  assert.equal(await statusWith(sidecar, token), 200, "known before");
  assert.equal(await statusWith(sidecar, await issuer.sign({ jti: "new" })), 200, "the last good set serves");
}

/** Checks that only the origin in the policy answers for the issuer. */
async function elsewhere(scene: Parameters<Attack["run"]>[0]): Promise<void> {
  const issuer = await issuerIn(scene);
  const thief = await endpointIn(scene, (_request, response) => response.end(issuer.jwks()));
  issuer.respond = (_request, response) => response.writeHead(302, { location: `${thief.url}/jwks` }).end();
  const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri }];
  const sidecar = await guarded(scene, { jwt: { issuers } });
  assert.equal(await statusWith(sidecar, await issuer.sign()), 503);
  assert.equal(thief.asked, 0);
}

const refreshTokens: Attack = {
  row: "Z21",
  what: "a refresh token is shown as a bearer, and introspection calls it active",
  async run(scene) {
    const kinds: Record<string, object> = {
      a: { token_type: "Bearer" },
      b: { token_type: "refresh_token" },
      c: { token_type: "DPoP" },
      d: { token_type: "Bearer", token_use: "refresh_token" },
      e: { typ: "Refresh" },
      f: { token_use: "access_token" },
    };
    const endpoint = await endpointIn(scene, (request, response) => {
      let form = "";
      request.on("data", (chunk: Buffer) => (form += chunk.toString()));
      request.on("end", () => {
        const kind = kinds[new URLSearchParams(form).get("token") ?? ""];
        response.end(JSON.stringify({ active: true, sub: "u1", ...kind }));
      });
    });
    const auth = { guessing: false, jwt: { introspection: introspectionAt(endpoint.url) } };
    const sidecar = await guarded(scene, auth, secret);
    const statuses = [];
    for (const token of Object.keys(kinds)) statuses.push(await statusWith(sidecar, token));
    assert.deepEqual(statuses, [200, 401, 401, 401, 401, 200]);
  },
};

export const attacks: readonly Attack[] = [
  opaqueWithDots,
  spentFetches,
  junkInKeySets,
  oddKeySets,
  refreshTokens,
];
