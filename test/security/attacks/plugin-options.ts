// A service's layer that uses plugins without a lock to do what locked auth forbids.
import assert from "node:assert/strict";
import { TokenIssuer } from "../../plugins/auth/token-issuer.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import { connectRaw, requestText } from "../../support/raw-http.ts";
import type { Attack } from "../attack.ts";
import { keys as sessionKeys, loginAt } from "../login-site.ts";
import { ask, goodKey, keys } from "../path-scene.ts";

const text = (policy: object): string => JSON.stringify({ apiVersion: "outrigger/v1", ...policy });

async function startIssuer(scene: Scene): Promise<TokenIssuer> {
  const issuer = await TokenIssuer.start();
  scene.after(() => issuer.close());
  return issuer;
}

const takes = ({ url, jwksUri }: TokenIssuer): object => ({ issuers: [{ issuer: url, jwksUri }] });

async function layered(scene: Scene, auth: object, layer: object): Promise<TestSidecar> {
  const redis = await scene.redis();
  const plugins = ["logging", "auth", "transform"];
  const shared = {
    plugins,
    pluginConfig: { auth },
    locked: ["auth"],
    routes: [{ path: "/*" }, { path: "/open/*", plugins: ["logging", "transform"] }],
  };
  await redis.cli.set("outrigger:policy", text(shared));
  await redis.cli.set("outrigger:policy:default", text(layer));
  return scene.sidecar({
    redisUrl: redis.url,
    upstream: (_request, response) => response.setHeader("Set-Cookie", "own=1").end("served"),
    env: { OUTRIGGER_SESSION_KEYS: sessionKeys },
  });
}

export const attacks: readonly Attack[] = [
  {
    row: "Z15",
    what: "has a layer's log show the keys and tokens that callers send",
    async run(scene) {
      const headers = ["x-my-key", "X_My_Key", "sec-websocket-protocol"];
      const issuer = await startIssuer(scene);
      const jwt = { ...takes(issuer), from: ["header", "query:tok", "subprotocol:bearer"] };
      const apiKeys = { keys, headers: ["x-my-key"], query: ["mykey"] };
      const auth = { required: false, apiKeys, jwt, forwardCredentials: true };
      const sidecar = await layered(scene, auth, { pluginConfig: { logging: { headers, query: true } } });
      for (const path of ["/", "/open/x"]) {
        const fields = [`X-My-Key: ${goodKey}`];
        await ask(sidecar, "GET", `${path}?a=seen`, fields);
        await ask(sidecar, "GET", `${path}?a=seen&mykey=${goodKey}&tok=${goodKey}`);
        await ask(sidecar, "GET", `${path}?a=seen`, [`Sec-WebSocket-Protocol: bearer, bearer.${goodKey}`]);
      }
      await sidecar.line(() => sidecar.lines.filter(({ msg }) => msg === "request").length >= 6);
      const lines = JSON.stringify(sidecar.lines);
      assert.match(lines, /a=seen/);
      assert.match(lines, /"x-my-key":"\[redacted\]"/);
      assert.ok(!lines.includes(goodKey), lines);
    },
  },
  {
    row: "Z15",
    what: "has a layer's transform set the cookie of the login in callers' browsers",
    async run(scene) {
      const issuer = await startIssuer(scene);
      const login = { ...loginAt(issuer), clientSecret: undefined };
      const jwt = { ...takes(issuer), login };
      const attack = {
        transform: { addResponseHeaders: { "Set-Cookie": "app.0=attacker; Path=/", "X-A": "b" } },
      };
      const routes = [
        { path: "/fix", pluginConfig: attack },
        { path: "/open/fix", plugins: ["transform"], pluginConfig: attack },
      ];
      const sidecar = await layered(scene, { required: false, jwt }, { routes });
      for (const path of ["/fix", "/open/fix"]) {
        const client = await connectRaw(sidecar.port);
        client.send(requestText("GET", path, ["Connection: close"]));
        const answer = await client.answer();
        client.end();
        assert.equal(answer.field("x-a"), "b", "its transform ran");
        const set = answer.fields.filter(([name]) => name === "set-cookie").map(([, value]) => value);
        assert.deepEqual(set, ["own=1"], path);
      }
    },
  },
];
