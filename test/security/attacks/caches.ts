// Answers that a cache, and counts that a limit, would pass from one caller to another.
import assert from "node:assert/strict";
import type http from "node:http";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Attack } from "../attack.ts";
import { ask, keys, withKey } from "../path-scene.ts";
import { issuerIn } from "../token-scene.ts";

const shown = ["authorization", "cookie", "x-my-key", "x-forwarded-client-cert", "x-user-id"];

/** A cache in front of a service that names the caller it sees, and counts its requests. */
function cached(
  scene: Scene,
  options: { auth: object; cache?: object; control?: string; env?: Record<string, string> },
): Promise<TestSidecar> {
  let asked = 0;
  const answer: http.RequestListener = ({ headers }, response) => {
    asked += 1;
    if (options.control !== undefined) response.setHeader("Cache-Control", options.control);
    response.end(`${asked} for ${shown.map((name) => String(headers[name])).join(" ")}`);
  };
  const pluginConfig = { auth: options.auth, cache: options.cache ?? {} };
  const policy = { plugins: ["auth", "cache", "transform"], pluginConfig };
  return scene.sidecar({ policy, upstream: answer, env: options.env ?? {} });
}

/** Sends requests as each caller in turn: no caller may get an answer for another. */
async function apart(sidecar: TestSidecar, path: string, ...callers: (readonly string[])[]): Promise<void> {
  const answers: string[] = [];
  for (const fields of callers) {
    const { status, body } = await ask(sidecar, "GET", path, fields);
    assert.equal(status, 200, body);
    assert.ok(!answers.includes(body), `${fields.join()} got ${body}`);
    answers.push(body);
  }
  await sidecar.stop();
}

const besideTheKey: Attack = {
  row: "Z5",
  what: "shares an API key with others, whom the service tells apart by Authorization or a cookie",
  async run(scene) {
    const auth = { apiKeys: { keys } };
    const ways = [
      { control: "max-age=60" },
      { cache: { ttlSeconds: 60 } },
      { cache: { ttlSeconds: 60, scope: "shared" } },
    ];
    for (const way of ways) {
      const as = (name: string): string[] => [...withKey, `Authorization: Basic ${name}`];
      await apart(await cached(scene, { auth, ...way }), "/", as("alice"), as("bob"), withKey);
    }
    const holding = (name: string): string[] => [...withKey, `Cookie: app=${name}`];
    await apart(
      await cached(scene, { auth, cache: { ttlSeconds: 60 } }),
      "/",
      holding("alice"),
      holding("bob"),
    );
  },
};

const leftToTheService: Attack = {
  row: "Z5",
  what: "asks for what the service answered to another's credential on a path that leaves checking to it",
  async run(scene) {
    const exclude = [{ path: "/own/*", forwardCredentials: true }];
    for (const way of [{ control: "max-age=60" }, { cache: { ttlSeconds: 60 } }]) {
      const auth = { apiKeys: { keys, headers: ["x_my_key"] }, exclude };
      const own = await cached(scene, { auth, ...way });
      await apart(own, "/own/a", ["X-My-Key: alice"], ["X-My-Key: bob"], []);
      const certificates = { forwarded: true, identities: [{ id: "spiffe://x/*" }] };
      const env = { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.0/8" };
      const mesh = await cached(scene, { auth: { certificates, exclude }, env, ...way });
      const as = (name: string): string[] => [`X-Forwarded-Client-Cert: URI=spiffe://x/${name}`];
      await apart(mesh, "/own/a", as("alice"), as("bob"), []);
    }
  },
};

const anothersClaim: Attack = {
  row: "Z21",
  what: "has its own issuer say the claim that callers of another are cached and counted under",
  async run(scene) {
    const [acme, mallory] = await Promise.all([issuerIn(scene), issuerIn(scene)]);
    const auth = { jwt: { issuers: [acme, mallory].map(({ url, jwksUri }) => ({ issuer: url, jwksUri })) } };
    const sidecar = await scene.sidecar({
      policy: {
        plugins: ["auth", "rate-limit", "cache", "transform"],
        pluginConfig: {
          auth,
          "rate-limit": { limits: [{ name: "org", by: "claim:org", limit: 2, window: "1h" }] },
          cache: { ttlSeconds: 60, scope: "shared", vary: ["claim:org"] },
        },
      },
      upstream: ({ headers }, response) => response.end(`for ${String(headers["x-user-id"])}`),
    });
    const asked = async (issuer: typeof acme, sub: string): Promise<unknown> => {
      const token = await issuer.sign({ org: "acme", sub });
      const { status, body } = await ask(sidecar, "GET", "/", [`Authorization: Bearer ${token}`]);
      return status === 200 ? body : status;
    };
    assert.equal(await asked(mallory, "mallory"), "for mallory");
    assert.equal(await asked(mallory, "mallory2"), "for mallory", "one issuer's callers share");
    assert.equal(await asked(acme, "alice"), "for alice");
    assert.equal(await asked(mallory, "mallory"), 429);
    assert.equal(await asked(acme, "alice"), "for alice", "its own count");
  },
};

export const attacks: readonly Attack[] = [besideTheKey, leftToTheService, anothersClaim];
