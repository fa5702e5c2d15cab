// Repeats the tests of plugins in a sidecar, with clients that speak HTTP/2.
import assert from "node:assert/strict";
import { after } from "node:test";
import { asked, fetchOverHttp2 } from "../support/http2-fetch.ts";

globalThis.fetch = fetchOverHttp2;

await import("../e2e/all-plugins.test.ts");
await import("./auth/assertion.test.ts");
await import("./cache/refresh-hooks.test.ts");
await import("./cors/sidecar.test.ts");
await import("./csrf/index.test.ts");
await import("./ext-auth/sidecar.test.ts");
await import("./rate-limit/sidecar.test.ts");
await import("./redirect/index.test.ts");
await import("./respond/index.test.ts");
await import("./security-headers/sidecar.test.ts");
await import("./validate/index.test.ts");
await import("./validate/openapi.test.ts");

after(() => assert.ok(asked.overHttp2 > 80, `${asked.overHttp2} requests went over HTTP/2`));
