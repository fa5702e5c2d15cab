// Repeats tests of behaviour with clients that speak HTTP/2: those tests whose only client is `fetch`, and that do not
// depend on HTTP/1.1 bytes, on connections, or on long-lived exchanges. All run in one process.
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
