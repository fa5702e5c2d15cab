// A hostile policy or layer tries to get secrets that the sidecar knows and its service must not.
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";
import type { Scene } from "../../support/scene.ts";
import { startUpstream } from "../upstream.ts";

const secret = "the password of the introspection client";

/** Applies a policy that would send the secret to an endpoint, and checks the outcome. */
async function sendsTo(scene: Scene, hostsOf: (good: string) => Record<string, string>): Promise<void> {
  const received: unknown[] = [];
  const good = await startUpstream(scene, (_request, response) => response.end('{"active":true,"sub":"u1"}'));
  const thief = await startUpstream(scene, (request, response) => {
    received.push(request.headers.authorization);
    response.end('{"active":true,"sub":"admin"}');
  });
  const auth = (endpoint: string, clientSecret: string): object => ({
    jwt: { introspection: { endpoint, clientId: "sidecar", clientSecret } },
  });
  const policy = (endpoint: string, name: string): Record<string, unknown> => ({
    plugins: ["auth"],
    pluginConfig: { auth: auth(endpoint, name) },
  });
  const sidecar = await scene.sidecar({
    policy: { plugins: ["auth"], pluginConfig: { auth: {} } },
    upstream: (_request, response) => response.end("served"),
    env: {
      OUTRIGGER_SECRET_IDP: secret,
      OUTRIGGER_SECRET_OTHER: "another",
      OUTRIGGER_API_KEY_PEPPER: "pepper-0123456789abcdef",
      OUTRIGGER_SECRET_HOSTS: "",
      ...hostsOf(good.slice("http://".length)),
    },
  });
  for (const [endpoint, name] of [
    [thief, "SECRET_IDP"],
    [thief, "SECRET_OTHER"],
    [thief.replace("127.0.0.1", "localhost"), "SECRET_IDP"],
    [thief, "API_KEY_PEPPER"],
  ] as const) {
    const before = sidecar.lines.length;
    sidecar.setPolicy(policy(endpoint, name));
    await sidecar.line(
      (line) => sidecar.lines.indexOf(line) >= before && /refused|rejected/.test(String(line["msg"])),
    );
    const answer = await fetch(sidecar.url, { headers: { authorization: "Bearer opaque" } });
    assert.equal(answer.status, 401, "the policy before is in force");
  }
  assert.deepEqual(received, [], "nothing reached the thief");
  assert.ok(!JSON.stringify(sidecar.lines).includes(secret));
}

const metadata = [
  "https://169.254.169.254/latest",
  "https://[::ffff:169.254.169.254]/x",
  "https://0xa9fea9fe/x",
  "https://[fe80::1]/x",
  "https://[fd00:ec2::254]/x",
  "https://100.100.100.200/x",
  "https://[64:ff9b::a9fe:a9fe]/x",
];

export const attacks: readonly Attack[] = [
  {
    row: "Z26",
    what: "a policy sends a secret to a host of its choice, which the environment bound to another",
    run: (scene) => sendsTo(scene, (good) => ({ OUTRIGGER_SECRET_HOSTS: `SECRET_IDP=${good}` })),
  },
  {
    row: "Z26",
    what: "the same where the environment binds no secret at all",
    run: (scene) => sendsTo(scene, () => ({})),
  },
  {
    row: "Z26",
    what: "a policy makes the sidecar ask link-local and metadata addresses, in whatever form",
    async run(scene) {
      const sidecar = await scene.sidecar({
        policy: { plugins: ["logging"] },
        upstream: (_request, response) => response.end("served"),
        env: { OUTRIGGER_SECRET_IDP: secret },
      });
      for (const url of metadata) {
        const before = sidecar.lines.length;
        const issuers = [
          { issuer: "https://id.example", jwksUri: url, algorithms: ["ES256"], audience: ["api"] },
        ];
        sidecar.setPolicy({ plugins: ["auth"], pluginConfig: { auth: { jwt: { issuers } } } });
        await sidecar.line(
          (line) => sidecar.lines.indexOf(line) >= before && JSON.stringify(line).includes("link-local"),
        );
        assert.equal((await fetch(sidecar.url)).status, 200, `${url}: the policy before is in force`);
      }
    },
  },
];
