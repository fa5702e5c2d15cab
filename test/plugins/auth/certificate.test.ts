// Client certificates: over TLS to a real sidecar, and as a trusted proxy forwards them.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { forwardedNames, namesOf } from "../../../plugins/auth/certificates/certificate-names.ts";
import { compileIds } from "../../../plugins/auth/rules/conditions.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";
import { makeAuthority, type Authority, type Issued } from "./authority.ts";
import { makeRoute, makeServices } from "./harness.ts";

const billing = "spiffe://cluster.local/ns/shop/sa/billing";
const certificates = {
  identities: [
    { id: billing, userId: "billing", scopes: ["invoices"] },
    { id: "spiffe://cluster.local/ns/ops/*", roles: ["operator"] },
    { id: "robot.example" },
  ],
};
let authority: Authority;
let stranger: Authority;
let sidecar: TestSidecar;

before(async () => {
  authority = makeAuthority();
  stranger = makeAuthority();
  const server = authority.issue("server", "DNS:localhost,IP:127.0.0.1");
  sidecar = await startSidecar({
    policy: {
      plugins: ["logging", "auth", "transform"],
      pluginConfig: { auth: { apiKeys: false, certificates } },
    },
    upstream: (request, response) => response.end(JSON.stringify(request.headers)),
    env: {
      OUTRIGGER_TLS_CERT: server.certFile,
      OUTRIGGER_TLS_KEY: server.keyFile,
      OUTRIGGER_TLS_CLIENT_CA: authority.certFile,
    },
  });
});
after(async () => {
  await sidecar.stop();
  authority.close();
  stranger.close();
});

async function ask(
  client?: Issued,
  fields: Record<string, string> = {},
): Promise<{ status: number; seen: Record<string, string> }> {
  const presented = client === undefined ? {} : { key: client.key, cert: client.cert };
  const request = https.get({
    port: sidecar.port,
    host: "127.0.0.1",
    ca: authority.cert,
    agent: false,
    headers: fields,
    ...presented,
  });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const body = await text(response);
  const status = response.statusCode ?? 0;
  return { status, seen: status === 200 ? (JSON.parse(body) as Record<string, string>) : {} };
}

test("a certificate's SPIFFE id is who calls, and the service is told", async () => {
  const answer = await ask(authority.issue("billing", `URI:${billing},DNS:billing.shop`));
  assert.equal(answer.status, 200);
  assert.deepEqual([answer.seen["x-user-id"], answer.seen["x-user-scopes"]], ["billing", "invoices"]);
  const operator = await ask(authority.issue("ops", "URI:spiffe://cluster.local/ns/ops/sa/ada"));
  assert.equal(operator.seen["x-user-id"], "spiffe://cluster.local/ns/ops/sa/ada");
  assert.equal((await ask(authority.issue("robot", "DNS:robot.example"))).seen["x-user-id"], "robot.example");
});

test("no certificate, one that is not listed, and one of another authority are 401", async () => {
  assert.equal((await ask()).status, 401);
  assert.equal(
    (await ask(authority.issue("other", "URI:spiffe://cluster.local/ns/shop/sa/other"))).status,
    401,
  );
  assert.equal((await ask(authority.issue("nameless", "IP:10.0.0.1"))).status, 401);
  assert.equal((await ask(stranger.issue("thief", `URI:${billing}`))).status, 401);
});

test("nobody but a trusted proxy speaks for a certificate", async () => {
  assert.equal((await ask(undefined, { "X-Forwarded-Client-Cert": `URI=${billing}` })).status, 401);
  const robot = authority.issue("robot2", "DNS:robot.example");
  const answer = await ask(robot, { "X-Forwarded-Client-Cert": `URI=${billing}` });
  assert.equal(answer.seen["x-user-id"], "robot.example");
  assert.equal(answer.seen["x-forwarded-client-cert"], undefined);
});

test("a trusted proxy's word counts where the policy believes it, its nearest client's alone", async () => {
  const services = await makeServices();
  const believing = await makeRoute({ certificates: { ...certificates, forwarded: true } }, services);
  const wary = await makeRoute({ certificates }, services);
  const fields = [
    "X-Forwarded-Client-Cert",
    `By=spiffe://x;Hash=abc;URI=spiffe://evil,By=y;Hash=0;Subject="CN=a,URI=b";URI=${billing}`,
  ];
  const answer = await believing.ask({ fields, viaTrustedProxy: true });
  assert.deepEqual(
    [answer.status, answer.identity?.userId, answer.identity?.method],
    [200, "billing", "certificate"],
  );
  assert.equal((await believing.ask({ fields })).status, 401);
  assert.equal((await wary.ask({ fields, viaTrustedProxy: true })).status, 401);
  const spoofed = ["X-Forwarded-Client-Cert", `URI=${billing},URI=spiffe://evil`];
  assert.equal((await believing.ask({ fields: spoofed, viaTrustedProxy: true })).status, 401);
  // It may show a certificate of its own on its way here, by which nobody else is to be it.
  const hop = new X509Certificate(authority.issue("hop", "DNS:robot.example").cert).raw;
  const who = async (on: typeof believing, told: string[]): Promise<(string | undefined)[]> => {
    const { status, identity } = await on.ask({ fields: told, viaTrustedProxy: true, certificate: hop });
    return [String(status), identity?.userId];
  };
  assert.deepEqual(await who(believing, fields), ["200", "billing"]);
  assert.deepEqual(await who(believing, spoofed), ["401", undefined]);
  assert.deepEqual(await who(believing, []), ["200", "robot.example"]);
  assert.deepEqual(await who(wary, fields), ["200", "robot.example"]);
  const again = await believing.ask({ fields, viaTrustedProxy: true });
  assert.equal(again.identity, answer.identity, "one identity for one certificate");
});

test("a client behind a trusted proxy that tells of no certificate is nobody, and not the proxy", async () => {
  const services = await makeServices();
  const sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const options = {
    apiKeys: { keys: [{ sha256, id: "k", userId: "u" }] },
    certificates: { ...certificates, forwarded: true },
  };
  const route = await makeRoute(options, services);
  const rule = { allow: { certificate: { any: ["robot.example"] } } };
  const ruled = await makeRoute({ ...options, rules: [rule] }, services);
  const hop = new X509Certificate(authority.issue("gateway", "DNS:robot.example").cert).raw;
  const behind = { viaTrustedProxy: true, certificate: hop, address: "192.0.2.7", peer: "10.0.0.1" };
  const key = ["X-Api-Key", "abc"];
  assert.equal((await route.ask(behind)).status, 401);
  assert.equal((await ruled.ask({ ...behind, fields: key })).status, 403, "a rule asks for the client's");
  const own = { ...behind, address: behind.peer };
  assert.equal((await route.ask(own)).identity?.userId, "robot.example", "the proxy itself is one");
  assert.equal((await ruled.ask({ ...own, fields: key })).status, 200);
});

test("rules may ask for a certificate beside another credential", async () => {
  const services = await makeServices();
  const sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const options = {
    apiKeys: { keys: [{ sha256, id: "k", userId: "u" }] },
    certificates: { ...certificates, forwarded: true },
    rules: [{ allow: { certificate: { any: ["spiffe://cluster.local/ns/shop/*"] } } }],
  };
  const route = await makeRoute(options, services);
  const key = ["X-Api-Key", "abc"];
  assert.equal((await route.ask({ fields: key })).status, 403);
  const fields = [...key, "X-Forwarded-Client-Cert", `URI=${billing}`];
  const answer = await route.ask({ fields, viaTrustedProxy: true });
  assert.deepEqual([answer.status, answer.identity?.userId], [200, "u"]);
});

test("rules see the connection's certificate, also where certificates say nobody's name", async () => {
  const services = await makeServices();
  const sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const apiKeys = { keys: [{ sha256, id: "k", userId: "u" }] };
  const fields = ["X-Api-Key", "abc"];
  const rawOf = ({ cert }: Issued): Buffer => new X509Certificate(cert).raw;
  const bad = rawOf(authority.issue("denied", `URI:${billing}`));
  const other = rawOf(authority.issue("let-in", "URI:spiffe://cluster.local/ns/shop/sa/cart"));
  const both = rawOf(authority.issue("both", `URI:${billing},URI:spiffe://cluster.local/ns/shop/sa/cart`));
  const over = rawOf(authority.issueOver("over", `URI:${billing}`));
  const condition = { certificate: { any: [billing] } };
  const statuses = async (rule: object, required = true): Promise<number[]> => {
    const route = await makeRoute({ apiKeys, required, rules: [rule] }, services);
    const asks = [bad, other, both, over, undefined].map((certificate) =>
      route.ask({ ...(required && { fields }), ...(certificate && { certificate }) }),
    );
    return (await Promise.all(asks)).map(({ status }) => status);
  };
  assert.deepEqual(await statuses({ deny: condition }), [403, 200, 401, 401, 200]);
  assert.deepEqual(await statuses({ allow: condition }), [200, 403, 401, 401, 403]);
  assert.deepEqual(await statuses({ deny: condition }, false), [401, 200, 401, 401, 200]);
  assert.deepEqual(await statuses({ allow: {} }), [200, 200, 200, 200, 200], "no rule asks");
});

test("names are read strictly: quoted ones are none of ours, and odd forwarded fields give nothing", () => {
  assert.deepEqual(namesOf("DNS:a.example, URI:spiffe://b/c, IP Address:10.0.0.1"), [
    "spiffe://b/c",
    "a.example",
  ]);
  assert.deepEqual(namesOf('DNS:"evil.example, URI:spiffe://b/c"'), []);
  assert.deepEqual(namesOf('URI:"spiffe://x\\u002c URI:spiffe://b/c", DNS:ok.example'), ["ok.example"]);
  assert.deepEqual(namesOf(undefined), []);
  assert.deepEqual(forwardedNames('URI=urn:a;Subject="x;URI=urn:b"'), ["urn:a"]);
  assert.deepEqual(forwardedNames('URI="urn:a"'), ["urn:a"]);
  assert.deepEqual(forwardedNames('Subject="never ends;URI=urn:b'), []);
  assert.deepEqual(forwardedNames(`URI=urn:${"a".repeat(10_000)}`), []);
});

test("a name is of its type: a DNS name passes for no URI, and a URI for no DNS name", () => {
  assert.deepEqual(namesOf("DNS:spiffe://b/c, URI:robot.example, DNS:a.example"), ["a.example"]);
  assert.deepEqual(forwardedNames("DNS=spiffe://b/c;URI=robot.example;DNS=a.example"), ["a.example"]);
  const [spiffe, robots, all] = ["spiffe://b/*", "ro*", "*"].map((pattern) => compileIds([pattern]));
  assert.deepEqual([spiffe?.("spiffe://b/c"), spiffe?.("b.example")], [true, false]);
  assert.deepEqual([robots?.("robot.example"), robots?.("robot:x")], [true, false]);
  assert.deepEqual([all?.("robot.example"), all?.("spiffe://b/c")], [true, true]);
});

test("a SPIFFE id beside another URI, usable or not, makes a certificate nobody's", async () => {
  for (const names of [
    "URI:spiffe://b/c, URI:spiffe://b/d",
    "URI:https://x, DNS:a.example, URI:spiffe://b/c",
  ])
    assert.deepEqual(namesOf(names), []);
  assert.deepEqual(namesOf('URI:spiffe://b/c, URI:"spiffe://x\\u002c y"'), []);
  assert.deepEqual(namesOf("URI:https://x, URI:urn:y"), ["https://x", "urn:y"]);
  const services = await makeServices();
  const route = await makeRoute(
    { required: false, certificates: { ...certificates, forwarded: true } },
    services,
  );
  const fields = ["X-Forwarded-Client-Cert", `URI=${billing};URI=spiffe://cluster.local/ns/ops/sa/ada`];
  const answer = await route.ask({ fields, viaTrustedProxy: true });
  assert.deepEqual([answer.status, answer.because], [401, "certificate: a SPIFFE id beside another URI"]);
  const sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const options = {
    apiKeys: { keys: [{ sha256, id: "k", userId: "u" }] },
    certificates: { ...certificates, forwarded: true },
  };
  const withKeys = await makeRoute(options, services);
  const key = ["X-Api-Key", "abc"];
  assert.equal((await withKeys.ask({ fields: key })).status, 200);
  const beside = await withKeys.ask({ fields: [...key, ...fields], viaTrustedProxy: true });
  assert.equal(beside.status, 401, "whatever else is shown");
});

test("by TLS, two URIs or a DNS name in the shape of one are 401", async () => {
  const two = authority.issue("two", `URI:${billing},URI:spiffe://cluster.local/ns/ops/sa/ada`);
  assert.equal((await ask(two)).status, 401);
  assert.equal((await ask(authority.issue("dns-uri", `DNS:${billing}`))).status, 401);
});
