// Token responses as real providers send them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { JwksSource } from "../../../plugins/auth/issuers/jwks.ts";
import { authOptions } from "../../../plugins/auth/options.ts";
import { Provider } from "../../../plugins/auth/login/provider.ts";
import { EndpointServer } from "../../support/endpoint-server.ts";
import { makeServices, type TestServices } from "./harness.ts";

let answer = "";
let status = 200;
let endpoint: EndpointServer;
let services: TestServices;
let keys: JwksSource;
let provider: Provider;

before(async () => {
  endpoint = new EndpointServer((request, response) => {
    const { url } = endpoint;
    const metadata = { issuer: url, jwks_uri: `${url}/jwks`, token_endpoint: `${url}/token` };
    if (request.url === "/token") response.writeHead(status).end(answer);
    else response.end(request.url === "/jwks" ? '{"keys":[]}' : `\uFEFF${JSON.stringify(metadata)}`);
  });
  await endpoint.listen();
  services = await makeServices();
  const limits = { refreshMs: 60_000, maxStaleMs: 0, cooldownMs: 1_000, timeoutMs: 1_000, share: false };
  keys = new JwksSource({ ...limits, issuer: endpoint.url, jwksUri: undefined }, services.services);
  const facts = { issuer: endpoint.url, clientId: "c", publicUrl: "https://app.example" };
  const options = authOptions.parse({ jwt: { login: facts } }).jwt?.login;
  assert.ok(options);
  provider = new Provider(options, services.services, keys);
});
after(() => {
  keys.close();
  endpoint.close();
  services.close();
});

const inSeconds = async (text: string): Promise<number | undefined> => {
  answer = text;
  const { endsMs } = await provider.refresh("r");
  return endsMs === undefined ? undefined : Math.round((endsMs - services.clock.now()) / 1000);
};

test("expires_in is taken as a number, as digits, and missing, with a byte order mark in front", async () => {
  assert.equal(await inSeconds('{"access_token":"t","expires_in":62}'), 62);
  assert.equal(await inSeconds('{"access_token":"t","expires_in":"62"}'), 62);
  assert.equal(await inSeconds('{"access_token":"t"}'), undefined);
  assert.equal(await inSeconds('\uFEFF{"access_token":"t","expires_in":"3599"}'), 3_599);
});

test("an answer that cannot be used is told by the member that is wrong", async () => {
  for (const value of ['"soon"', '"-1"', "0", '"0"', "[62]", '"6e1"', "null"]) {
    await assert.rejects(inSeconds(`{"expires_in":${value}}`), /token endpoint's answer: expires_in: /);
  }
  await assert.rejects(inSeconds("<html>"), /the token endpoint's answer is no JSON object/);
  for (const none of ["{}", '{"error":"server_error"}', '{"expires_in":62,"refresh_token":"r"}'])
    await assert.rejects(inSeconds(none), /the token endpoint's answer holds no token/);
  status = 500;
  await assert.rejects(inSeconds("{}"), /the token endpoint answered 500/);
  status = 200;
});

test("an answer may hold large tokens, and no end of them", async () => {
  assert.equal(await inSeconds(JSON.stringify({ expires_in: 62, access_token: "x".repeat(200_000) })), 62);
  await assert.rejects(
    inSeconds(JSON.stringify({ expires_in: 62, access_token: "x".repeat(300_000) })),
    (error: Error) => /larger than 262144 bytes/.test(String(error.cause)),
  );
});
