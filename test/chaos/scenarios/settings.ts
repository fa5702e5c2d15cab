// Settings and documents with typical mistakes, and environments that do not match the settings.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { get } from "node:http";
import { eventually } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import { SecretFolder } from "../../support/secret-folder.ts";
import type { Scenario } from "../scenario.ts";

const policy = { plugins: ["logging"] };

async function rotate(scene: Scene): Promise<string> {
  const redis = await scene.redis();
  const { cli, url } = redis;
  const allowed = ["~*", "&*", "+@all"];
  await cli.call("ACL", "SETUSER", "app", "on", ">old-pass", ">new-pass", ...allowed);
  const record = `outrigger:apikey:${createHash("sha256").update("key").digest("hex")}`;
  await cli.set(record, JSON.stringify({ id: "k", userId: "u", scopes: [] }));
  const urlWith = (password: string): string => url.replace("//", `//app:${password}@`);
  const secrets = new SecretFolder({ REDIS_URL: urlWith("old-pass") });
  scene.after(() => secrets.remove());
  const options = { cacheSeconds: 1 };
  const sidecar = await scene.sidecar({
    policy: { plugins: ["auth"], pluginConfig: { auth: { apiKeys: options } } },
    env: secrets.env,
    upstream: (_request, response) => void response.end(),
  });
  const ask = async (): Promise<number> =>
    (await fetch(sidecar.url, { headers: { "X-Api-Key": "key" } })).status;
  await eventually("Redis answers", async () => (await ask()) === 200);
  const over = new AbortController();
  let asked = 0;
  const load = (async () => {
    for (; !over.signal.aborted; asked += 1) assert.equal(await ask(), 200);
  })();
  load.catch(() => {}); // reported below
  secrets.write({ REDIS_URL: urlWith("wrong-pass") });
  await sidecar.line(({ msg }) => String(msg).startsWith("Redis: the new REDIS_URL does not work"));
  secrets.write({ REDIS_URL: urlWith("new-pass") });
  await sidecar.line(({ msg }) => msg === "Redis: the new REDIS_URL is in use");
  await cli.call("ACL", "SETUSER", "app", "<old-pass");
  await eventually("the old connections are gone", async () => {
    const names = String(await cli.call("CLIENT", "LIST")).match(/name=outrigger-default/gu);
    return names?.length === 2;
  });
  over.abort();
  await load;
  return `${asked} requests, all 200`;
}

export const scenarios: readonly Scenario[] = [
  {
    group: "redis",
    fault: "rediss:// at a Redis without TLS",
    promised: "the log says that it does not speak TLS; requests are served by the policy of the file",
    async run(scene) {
      const { url } = await scene.redis();
      const redisUrl = url.replace("redis://", "rediss://");
      const sidecar = await scene.sidecar({
        policy,
        redisUrl,
        upstream: (_request, response) => void response.end("the service"),
      });
      const { reason } = await sidecar.line(
        (line) => String(line["msg"]).startsWith("Redis") && /TLS/.test(String(line["reason"])),
      );
      return String(reason);
    },
  },
  {
    group: "service",
    fault: "the service's own health turns bad, hangs, and comes back",
    promised: "/readyz follows within seconds (OUTRIGGER_READY_UPSTREAM)",
    async run(scene) {
      let health: number | "hangs" = 200;
      const sidecar = await scene.sidecar({
        policy,
        env: { OUTRIGGER_READY_UPSTREAM: "/healthz" },
        upstream: (_request, response) => void (health === "hangs" || response.writeHead(health).end()),
      });
      const startedMono = performance.now();
      for (const [state, status] of [
        [200, 200],
        [500, 503],
        ["hangs", 503],
        [200, 200],
      ] as const) {
        health = state;
        await eventually(
          `readyz ${status}`,
          async () => (await fetch(`${sidecar.adminUrl}/readyz`)).status === status,
        );
      }
      return `followed four states in ${Math.round(performance.now() - startedMono)} ms`;
    },
  },
  {
    group: "redis",
    fault:
      "REDIS_URL_FILE rotated under load: a wrong password, then the right one, then the old one withdrawn",
    promised: "the old connections serve until the new ones answer: no request fails",
    run: rotate,
  },
  {
    group: "clients",
    fault: "`Host: a.test:`, and a service below a base path",
    promised: "an empty port is none; the base path stands in front",
    async run(scene) {
      const service = await scene.sidecar({
        policy,
        upstream: (request, response) => void response.end(`${request.headers.host} ${request.url}`),
      });
      const sidecar = await scene.sidecar({ policy, upstream: `${service.url}/base` });
      const body = await new Promise<string>((resolve, reject) => {
        get(
          { host: "127.0.0.1", port: sidecar.port, path: "/a", headers: { Host: "a.test:" } },
          (answer) => void answer.setEncoding("utf8").once("data", resolve),
        ).once("error", reject);
      });
      assert.equal(body, "a.test /base/a");
      return body;
    },
  },
];
