// Tests of behaviour once more, with clients that speak HTTP/2: those whose clients are `fetch` alone, and that say nothing of
// bytes of HTTP/1.1, of connections, or of what lasts. One process for all of them.
import assert from "node:assert/strict";
import { after } from "node:test";
import { asked, fetchOverHttp2 } from "../support/http2-fetch.ts";

globalThis.fetch = fetchOverHttp2;

await import("./chain.test.ts");
await import("./explain.test.ts");
await import("./hops.test.ts");
await import("./prefix.test.ts");
await import("./tracing.test.ts");

after(() => assert.ok(asked.overHttp2 > 50, `${asked.overHttp2} requests went over HTTP/2`));
