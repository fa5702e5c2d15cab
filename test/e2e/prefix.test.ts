// A route that strips a prefix: the service learns the prefix, and its own paths get it back where the route asks for
// that.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

let sidecar: TestSidecar;
let told: string | string[] | undefined;

before(async () => {
  sidecar = await startSidecar({
    policy: {
      plugins: ["logging"],
      routes: [
        { path: "/api/v1/*", stripPrefix: "/api/v1", restorePrefix: true },
        { path: "/bare/*", stripPrefix: "/bare" },
        { path: "/*" },
      ],
    },
    env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.2/32" },
    upstream: (request, response) => {
      told = request.headers["x-forwarded-prefix"];
      response.writeHead(302, {
        Location: request.url === "/absolute" ? `http://${request.headers.host}/login` : "/login",
        "Set-Cookie": ["s=1; Path=/; HttpOnly"],
      });
      response.end();
    },
  });
});
after(() => sidecar.stop());

async function ask(path: string): Promise<{ location: string | null; cookie: string | null }> {
  const headers = { "X-Forwarded-Prefix": "/forged" };
  const answer = await fetch(sidecar.url + path, { redirect: "manual", headers });
  return { location: answer.headers.get("location"), cookie: answer.headers.get("set-cookie") };
}

test("the service is told what was stripped, and believes no client", async () => {
  await ask("/api/v1/users");
  assert.equal(told, "/api/v1");
  await ask("/api/v1");
  assert.equal(told, "/api/v1");
  await ask("/bare/x");
  assert.equal(told, "/bare");
  await ask("/other");
  assert.equal(told, undefined);
});

test("redirects and cookies get the prefix back where the route says so, and only there", async () => {
  assert.deepEqual(await ask("/api/v1/users"), {
    location: "/api/v1/login",
    cookie: "s=1; Path=/api/v1; HttpOnly",
  });
  assert.equal((await ask("/api/v1/absolute")).location, `${sidecar.url}/api/v1/login`);
  assert.deepEqual(await ask("/bare/users"), { location: "/login", cookie: "s=1; Path=/; HttpOnly" });
});
