// One issuer entry in the options for the issuers of many tenants.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { EndpointServer } from "../../support/endpoint-server.ts";
import { makeRoute, makeServices, withBearer } from "./harness.ts";
import { TokenIssuer } from "./token-issuer.ts";

interface Stage {
  /** Paths that the provider was asked for. */
  readonly asked: readonly string[];
  /** Of a request with a token of that tenant. */
  readonly statusOf: (tenant: string) => Promise<number>;
}

/** A provider with tenants under `/a`, `/b` and so on; the route takes `a` and `b`. */
async function stage(t: TestContext, entry: (url: string) => object): Promise<Stage> {
  const issuer = await TokenIssuer.start();
  const asked: string[] = [];
  const provider = new EndpointServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const tenant = /^\/(\w+)\/v2\.0\/\.well-known\/openid-configuration$/.exec(path)?.[1];
    const at = `${provider.url}/${tenant}`;
    response.end(
      tenant === undefined ? issuer.jwks() : JSON.stringify({ issuer: `${at}/v2.0`, jwks_uri: `${at}/keys` }),
    );
  });
  await provider.listen();
  const services = await makeServices();
  const facts = { issuer: `${provider.url}/{tenant}/v2.0`, tenants: ["a", "b"], ...entry(provider.url) };
  const route = await makeRoute({ guessing: false, jwt: { issuers: [facts] } }, services);
  t.after(async () => {
    await route.close();
    provider.close();
    issuer.close();
  });
  return {
    asked,
    async statusOf(tenant) {
      const token = await issuer.sign({ iss: `${provider.url}/${tenant}/v2.0` });
      return (await route.ask(withBearer(token))).status;
    },
  };
}

test("discovery asks for each tenant that comes, and for no other", async (t) => {
  const { asked, statusOf } = await stage(t, () => ({ discovery: true }));
  assert.deepEqual(asked, []);
  assert.deepEqual([await statusOf("b"), await statusOf("b"), await statusOf("c")], [200, 200, 401]);
  assert.deepEqual(asked, ["/b/v2.0/.well-known/openid-configuration", "/b/keys"]);
});

test("tenants whose keys lie at one place share them", async (t) => {
  const { asked, statusOf } = await stage(t, (url) => ({ jwksUri: `${url}/common/keys` }));
  assert.deepEqual([await statusOf("a"), await statusOf("b"), await statusOf("c")], [200, 200, 401]);
  assert.deepEqual(asked, ["/common/keys"]);
});
