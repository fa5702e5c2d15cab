// Settings and documents as people write them, and surroundings that are not as the settings say.
import assert from "node:assert/strict";
import { get } from "node:http";
import { eventually } from "../../support/redis.ts";
import type { Scenario } from "../scenario.ts";

const policy = { plugins: ["logging"] };

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
