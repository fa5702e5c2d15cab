// Security fields through a running sidecar.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startSidecar } from "../../support/sidecar.ts";

test("pages come with the nonce that the service was told, past a cache, and no client chooses it", async () => {
  await using sidecar = await startSidecar({
    policy: {
      plugins: ["cache", "security-headers", "transform"],
      pluginConfig: {
        cache: { ttlSeconds: 60, respectOrigin: false },
        "security-headers": { preset: "web", contentSecurityPolicy: "script-src 'nonce-$nonce'" },
      },
    },
    upstream: (request, response) => {
      response.setHeader("Content-Type", request.url === "/style" ? "text/css" : "text/html");
      response.end(String(request.headers["x-csp-nonce"]));
    },
  });
  const get = async (path: string): Promise<Response> =>
    fetch(sidecar.url + path, { headers: { "X-CSP-Nonce": "chosen", X_CSP_Nonce: "chosen" } });
  const nonces = new Set<string>();
  for (let i = 0; i < 3; i += 1) {
    const page = await get("/page");
    const nonce = await page.text();
    assert.equal(page.headers.get("content-security-policy"), `script-src 'nonce-${nonce}'`);
    assert.equal(page.headers.get("x-frame-options"), "SAMEORIGIN");
    assert.equal(page.headers.get("strict-transport-security"), null);
    nonces.add(nonce);
  }
  assert.equal(nonces.size, 3);
  assert.ok(!nonces.has("chosen"));
  const styles = [await get("/style"), await get("/style")];
  assert.deepEqual(
    styles.map(({ headers }) => [headers.get("x-cache"), headers.get("content-security-policy")]),
    [
      ["MISS", "script-src 'none'"],
      ["HIT", "script-src 'none'"],
    ],
  );
});

test("a request that came by https, and errors of the sidecar, have the fields as well", async () => {
  await using sidecar = await startSidecar({
    env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1" },
    policy: { plugins: ["security-headers"], routes: [{ path: "/here" }] },
    upstream: (_request, response) => response.destroy(),
  });
  const headers = { "X-Forwarded-Proto": "https" };
  for (const [path, status] of [
    ["/here", 502],
    ["/elsewhere", 404],
  ] as const) {
    const answer = await fetch(sidecar.url + path, { headers });
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff", path);
    assert.equal(answer.headers.get("strict-transport-security"), "max-age=31536000", path);
  }
});
