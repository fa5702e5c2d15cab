// Readiness that follows the service, where OUTRIGGER_READY_UPSTREAM asks for it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../support/redis.ts";
import { startSidecar } from "../support/sidecar.ts";

test("readyz follows the service's own health, and is bounded when that hangs", async () => {
  let health: number | "hangs" = 503;
  const asked = new Set<string | undefined>();
  const sidecar = await startSidecar({
    policy: { plugins: [] },
    env: { OUTRIGGER_READY_UPSTREAM: "/healthz?deep" },
    upstream: (request, response) => {
      asked.add(request.url);
      if (health !== "hangs") response.writeHead(health).end();
    },
  });
  try {
    const ready = async (): Promise<string> => (await fetch(`${sidecar.adminUrl}/readyz?verbose`)).text();
    await eventually("not ready", async () => (await ready()).includes("[-] upstream: answers 503"));
    health = 204;
    await eventually("ready", async () => (await ready()).endsWith("\nready\n"));
    health = "hangs";
    await eventually("not ready again", async () => (await ready()).includes("[-] upstream: no answer in"));
    assert.deepEqual([...asked], ["/healthz?deep"]);
  } finally {
    await sidecar.stop();
  }
});
