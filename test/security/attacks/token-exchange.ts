// Services behind token exchange (RFC 8693) that still get the caller's own token.
import assert from "node:assert/strict";
import http from "node:http";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { Attack } from "../attack.ts";
import { endpointIn, guarded, issuerIn } from "../token-scene.ts";

const own: Attack = {
  row: "Z77",
  what: "has the caller's own token passed on to the service in place of the exchanged one",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const token = await issuer.sign();
    const types = { token_type: "Bearer", issued_token_type: "urn:ietf:params:oauth:token-type:jwt" };
    const answers: Readonly<Record<string, () => [number, object]>> = {
      well: () => [200, { ...types, access_token: "made-for-it", expires_in: 60 }],
      echo: () => [200, { ...types, access_token: token, expires_in: 60 }],
      broken: () => [500, {}],
      denied: () => [400, { error: "access_denied" }],
      smuggled: () => [200, { ...types, access_token: "x\r\nAuthorization: y", expires_in: 60 }],
    };
    let kind = "well";
    const endpoint = await endpointIn(scene, (_request, response) => {
      const [status, value] = answers[kind]?.() ?? [404, {}];
      response.writeHead(status).end(JSON.stringify(value));
    });
    const client = { clientId: "sidecar", clientSecret: "SECRET_SIDECAR" };
    const sidecar = await guarded(
      scene,
      {
        guessing: false,
        required: false,
        apiKeys: false,
        jwt: {
          issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }],
          from: ["header", "cookie:token", "query:token"],
        },
        tokenExchange: { tokenEndpoint: endpoint.url, ...client, audience: ["orders"], cacheSeconds: 0 },
      },
      {
        OUTRIGGER_SECRET_SIDECAR: "a secret",
        OUTRIGGER_SECRET_HOSTS: `SECRET_SIDECAR=${new URL(endpoint.url).host}`,
      },
    );
    const bearer = ["Authorization", `Bearer ${token}`];
    const shown: readonly [path: string, fields: readonly string[]][] = [
      ["/", bearer],
      ["/", [...bearer, "Connection", "authorization"]],
      ["/", ["Cookie", `token=${token}`, "Sec-Fetch-Site", "same-origin"]],
      [`/?token=${token}`, []],
      ["/", ["Authorization", `Token ${token}`]],
      ["/", [...bearer, "Authorization", `Token ${token}`]],
      ["/", ["Authorization", `Token x, Bearer ${token}`]],
    ];
    for (const each of Object.keys(answers)) {
      kind = each;
      for (const [path, fields] of shown) {
        const { status, body } = await ask(sidecar.port, path, fields);
        const what = `${kind}: ${status} for ${path.slice(0, 8)} ${fields.filter((_, at) => at % 2 === 0).join()}`;
        assert.ok(!body.includes(token), `the service has it, ${what}`);
        const expected = kind === "well" ? [200, 401] : [200, 401, 403, 503];
        assert.ok(expected.includes(status), what);
        if (status === 200 && kind === "well" && fields === bearer) assert.match(body, /Bearer made-for-it/);
        if (status === 200 && kind !== "well") assert.doesNotMatch(body, /authorization/i, what);
      }
    }
  },
};

async function ask(
  port: number,
  path: string,
  fields: readonly string[],
): Promise<{ status: number; body: string }> {
  const headers = ["Host", "orders.example", ...fields];
  const request = http.request({ port, path, headers, agent: false }).end();
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response) };
}

export const attacks: readonly Attack[] = [own];
