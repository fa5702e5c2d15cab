// A service that does not know the path prefix by which its clients reach it.
import assert from "node:assert/strict";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

async function unaware(scene: Scene): Promise<string> {
  const sidecar = await scene.sidecar({
    policy: {
      plugins: ["logging"],
      routes: [{ path: "/api/*", stripPrefix: "/api", restorePrefix: true }],
    },
    upstream: (request, response) => {
      if (request.url === "/login") response.end(`at ${String(request.headers["x-forwarded-prefix"])}`);
      else response.writeHead(302, { Location: "/login", "Set-Cookie": "s=1; Path=/" }).end();
    },
  });
  const answer = await fetch(`${sidecar.url}/api/`);
  const text = await answer.text();
  assert.deepEqual([new URL(answer.url).pathname, text], ["/api/login", "at /api"]);
  return "the redirect leads back to the service, which is told its prefix";
}

export const scenarios: readonly Scenario[] = [
  {
    group: "service",
    fault: "redirects to /login and sets cookies for /, behind a route that strips /api",
    promised: "with restorePrefix both get the prefix back; X-Forwarded-Prefix tells the service",
    run: unaware,
  },
];
