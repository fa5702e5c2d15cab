// Answers to a login's callback, from a provider that says whatever it is told to.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { Browser } from "../../plugins/auth/browser.ts";
import { clientId } from "../../plugins/auth/openid-provider.ts";
import { TokenIssuer } from "../../plugins/auth/token-issuer.ts";
import { eventually } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { Attack } from "../attack.ts";
import { guardedBy, loginAt, openShop, shop, type Shop } from "../login-site.ts";

interface Pliable {
  readonly url: string;
  /** Further claims of its next ID token. */
  claims: Record<string, unknown>;
  /** Whether its token endpoint accepts requests without answering. */
  hangs: boolean;
  /** Highest number of requests that waited for it at a time. */
  waiting: number;
  /** Number of requests for its metadata. */
  discoveries: number;
  /** Whether it answers requests for its metadata with 500. */
  unwell: boolean;
}

async function pliableProvider(scene: Scene): Promise<Pliable> {
  const keys = await TokenIssuer.start();
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scene.after(() => {
    server.closeAllConnections();
    server.close();
    keys.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider: Pliable = {
    url,
    claims: {},
    hangs: false,
    waiting: 0,
    discoveries: 0,
    unwell: false,
  };
  let waiting = 0;
  server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
    if (request.url !== "/token") {
      provider.discoveries += 1;
      if (provider.unwell) response.statusCode = 500;
      const endpoints = { authorization_endpoint: `${url}/auth`, token_endpoint: `${url}/token` };
      const rest = { jwks_uri: keys.jwksUri, authorization_response_iss_parameter_supported: true };
      response.end(JSON.stringify({ issuer: url, ...endpoints, ...rest }));
      return;
    }
    if (provider.hangs) {
      waiting += 1;
      provider.waiting = Math.max(waiting, provider.waiting);
      response.on("close", () => (waiting -= 1));
      return;
    }
    void keys.sign({ iss: url, aud: clientId, ...provider.claims }).then((token) => {
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({ id_token: token, access_token: "a", token_type: "Bearer", expires_in: 600 }),
      );
    });
  });
  return provider;
}

/** Begins a login and comes back with this query. @returns status of the callback */
async function comeBack(site: Shop, provider: Pliable, query: (state: string) => string): Promise<number> {
  const browser = new Browser(shop);
  const begun = await browser.visit(site, "/oauth2/login");
  const asked = new URL(begun.answerFields.get("location") ?? "").searchParams;
  provider.claims = { ...provider.claims, nonce: asked.get("nonce") };
  const answer = await browser.visit(site, `/oauth2/callback?${query(asked.get("state") ?? "")}`);
  assert.equal(
    answer.answerFields.getAll("set-cookie").some((line) => /^app\.0=./.test(line)),
    answer.status === 302,
  );
  return answer.status;
}

const otherAnswers: Attack = {
  row: "Z6",
  what: "a callback without the issuer that the provider announces, of another one, or with a parameter twice",
  async run(scene) {
    const provider = await pliableProvider(scene);
    const site = await openShop(scene, { policy: guardedBy(loginAt(provider)) });
    const iss = `iss=${encodeURIComponent(provider.url)}`;
    const evil = `iss=${encodeURIComponent("https://evil.example")}`;
    const status = (query: string): Promise<number> =>
      comeBack(site, provider, (state) => `${query}&state=${state}`);
    assert.equal(await status(`code=x&${iss}`), 302);
    for (const query of [
      "code=x",
      `code=x&${evil}`,
      `code=x&${iss}&${evil}`,
      `code=x&${iss}&${iss}`,
      `code=x&code=y&${iss}`,
      `code=x&${iss}&state=1.x`,
      `code=x&${iss}&error=access_denied`,
    ])
      assert.equal(await status(query), 401, query);
  },
};

const otherTokens: Attack = {
  row: "Z6",
  what: "an ID token of 100 days ago, without its time, for several clients, or of somebody else's party",
  async run(scene) {
    const provider = await pliableProvider(scene);
    const site = await openShop(scene, { policy: guardedBy(loginAt(provider)) });
    const query = (state: string): string => `code=x&state=${state}&iss=${encodeURIComponent(provider.url)}`;
    const status = (claims: Record<string, unknown>): Promise<number> => {
      provider.claims = claims;
      return comeBack(site, provider, query);
    };
    assert.equal(await status({}), 302);
    assert.equal(await status({ aud: [clientId, "other"], azp: clientId }), 302);
    for (const claims of [
      { iat: Math.floor(Date.now() / 1000) - 100 * 86_400 },
      { iat: undefined },
      { aud: [clientId, "other"] },
      { aud: [clientId, "other"], azp: "other" },
      { azp: "other" },
      { aud: "other" },
    ])
      assert.equal(await status(claims), 401, JSON.stringify(claims));
  },
};

const madeUpCodes: Attack = {
  row: "Z8",
  what: "sends 200 made-up codes while the provider hangs, and starts logins while it says nothing of itself",
  async run(scene) {
    const provider = await pliableProvider(scene);
    const site = await openShop(scene, { policy: guardedBy(loginAt(provider, { timeoutMs: 300 })) });
    const browser = new Browser(shop);
    const iss = encodeURIComponent(provider.url);
    provider.unwell = true;
    const starts = Array.from({ length: 50 }, () => new Browser(shop).visit(site, "/oauth2/login"));
    assert.deepEqual(new Set((await Promise.all(starts)).map(({ status }) => status)), new Set([503]));
    // The login's own request, and those for its keys; on a busy machine once more after a pause.
    assert.ok(provider.discoveries <= 9, `asked ${provider.discoveries} times`);
    provider.unwell = false;
    await eventually("logins begin again", async () => {
      const begun = await browser.visit(site, "/oauth2/login");
      return begun.status === 302;
    });
    const begun = await browser.visit(site, "/oauth2/login");
    const state = new URL(begun.answerFields.get("location") ?? "").searchParams.get("state") ?? "";
    provider.hangs = true;
    const path = `/oauth2/callback?code=x&iss=${iss}&state=${state}`;
    const answers = await Promise.all(Array.from({ length: 200 }, () => browser.visit(site, path)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([503]));
    assert.ok(provider.waiting <= 16, `${provider.waiting} at the same time`);
  },
};

export const attacks: readonly Attack[] = [otherAnswers, otherTokens, madeUpCodes];
