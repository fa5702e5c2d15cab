// CORS through a running sidecar.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

const app = "https://app.example.com";

/** A sidecar before a service that answers everything, says so, and sets CORS fields of its own. */
async function sidecarOf(
  t: TestContext,
  policy: Record<string, unknown>,
): Promise<{ sidecar: TestSidecar; served: string[] }> {
  const served: string[] = [];
  const sidecar = await startSidecar({
    policy: { plugins: ["logging", "cors", "transform"], ...policy },
    upstream: (request, response) => {
      served.push(`${request.method} ${request.url}`);
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.setHeader("Vary", "Accept-Encoding");
      response.end("from the service");
    },
  });
  t.after(() => sidecar.stop());
  return { sidecar, served };
}

const corsFields = (answer: Response): string[] =>
  [...answer.headers.keys()].filter((name) => name.startsWith("access-control-"));

test("a preflight is answered by the sidecar on every route, also one that does not take OPTIONS", async (t) => {
  const { sidecar, served } = await sidecarOf(t, {
    pluginConfig: { cors: { origins: [app] } },
    routes: [{ path: "/limited", methods: ["PUT"] }, { path: "/*" }],
  });
  for (const path of ["/limited", "/any"]) {
    const answer = await fetch(sidecar.url + path, {
      method: "OPTIONS",
      headers: { Origin: app, "Access-Control-Request-Method": "PUT" },
    });
    assert.equal(answer.status, 204, path);
    assert.equal(answer.headers.get("access-control-allow-origin"), app);
    assert.match(answer.headers.get("access-control-allow-methods") ?? "", /\bPUT\b/);
    assert.equal(answer.headers.get("content-length"), null);
    assert.ok(answer.headers.has("x-request-id"));
    const line = await sidecar.line((one) => one["msg"] === "request" && one["path"] === path);
    assert.deepEqual([line["status"], line["answeredBy"]], [204, "cors"]);
  }
  assert.deepEqual(served, []);
});

test("OPTIONS that is no preflight reaches the service", async (t) => {
  const { sidecar, served } = await sidecarOf(t, { pluginConfig: { cors: { origins: [app] } } });
  const answer = await fetch(`${sidecar.url}/x`, { method: "OPTIONS", headers: { Origin: app } });
  assert.equal(await answer.text(), "from the service");
  assert.deepEqual(served, ["OPTIONS /x"]);
});

test("the policy's word replaces the service's, for allowed origins, others, and none", async (t) => {
  const { sidecar } = await sidecarOf(t, { pluginConfig: { cors: { origins: [app], credentials: true } } });
  const allowed = await fetch(sidecar.url, { headers: { Origin: app } });
  assert.equal(allowed.headers.get("access-control-allow-origin"), app);
  assert.equal(allowed.headers.get("access-control-allow-credentials"), "true");
  for (const origin of ["https://evil.example", `${app}.evil.example`, undefined]) {
    const answer = await fetch(sidecar.url, origin === undefined ? {} : { headers: { Origin: origin } });
    assert.equal(await answer.text(), "from the service");
    assert.deepEqual(corsFields(answer), [], String(origin));
    assert.equal(answer.headers.get("vary"), "Accept-Encoding, Origin");
  }
});

test("errors of the sidecar are readable for the page", async (t) => {
  const { sidecar } = await sidecarOf(t, {
    pluginConfig: { cors: { origins: [app] } },
    routes: [{ path: "/limited", methods: ["PUT"] }],
  });
  for (const [path, status] of [
    ["/nowhere", 404],
    ["/limited", 405],
  ] as const) {
    const answer = await fetch(sidecar.url + path, { headers: { Origin: app } });
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get("access-control-allow-origin"), app);
  }
});

test("a service that must not see Origin does not keep the page from the answer", async (t) => {
  const { sidecar } = await sidecarOf(t, {
    pluginConfig: { cors: { origins: [app] }, transform: { removeHeaders: ["origin"] } },
  });
  const answer = await fetch(sidecar.url, { headers: { Origin: app } });
  assert.equal(answer.headers.get("access-control-allow-origin"), app);
});

test("a policy with * and credentials is refused with its path", async (t) => {
  const { sidecar } = await sidecarOf(t, { pluginConfig: { cors: { origins: ["*"], credentials: true } } });
  const { problems } = await sidecar.line((line) => "problems" in line);
  assert.match(String(problems), /pluginConfig\.cors\.origins\[0\]: \* cannot be used with credentials/);
  assert.equal((await fetch(sidecar.url)).status, 503);
});
