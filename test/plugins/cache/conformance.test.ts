// One test for each requirement, named by its section: RFC 9111, 9110, 5861, 8246, 9211, 9213.
import assert from "node:assert/strict";
import type http from "node:http";
import { test } from "node:test";
import { answering, gate, startBench, type Answer, type BenchOptions, type CacheBench } from "./harness.ts";

type Fields = http.OutgoingHttpHeaders;

async function withBench(options: BenchOptions, run: (bench: CacheBench) => Promise<void>): Promise<void> {
  const bench = await startBench(options);
  try {
    await run(bench);
  } finally {
    await bench.stop();
  }
}

interface Step {
  /** Moves the clock before the request. */
  readonly afterSeconds?: number;
  readonly headers?: Fields;
  readonly method?: string;
  readonly expect: "HIT" | "MISS" | "STALE" | "BYPASS";
}

/** A number stands for a date so many seconds from now. */
function dated(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === "number" ? httpDate(value) : value,
    ]),
  );
}

/** A requirement that shows in what comes from the cache: first request with these response fields, then the steps. */
function requirement(
  name: string,
  response: Fields & { status?: number },
  steps: readonly Step[],
  first: { headers?: Fields; method?: string } = {},
  cache: Readonly<Record<string, unknown>> = {},
): void {
  test(name, () => {
    const { status = 200, ...fields } = response;
    const service: BenchOptions["service"] = (request, reply, count) =>
      answering(dated(fields), status)(request, reply, count);
    return withBench({ cache, service }, async (bench) => {
      await bench.ask("/x", first);
      for (const { afterSeconds = 0, expect, ...how } of steps) {
        bench.clock.advanceSeconds(afterSeconds);
        const answer = await bench.ask("/x", how);
        assert.equal(answer.cache, expect, JSON.stringify(how));
      }
    });
  });
}

const httpDate = (inSeconds: number): string => new Date(Date.now() + inSeconds * 1000).toUTCString();
const hit: Step[] = [{ expect: "HIT" }];
const miss: Step[] = [{ expect: "MISS" }];

// Section 3: storing.
requirement("9111 3: a response with an explicit lifetime is stored", { "Cache-Control": "max-age=60" }, hit);
requirement("9111 3: without any freshness or validator nothing is reused", {}, miss);
requirement("9111 3: not with no-store in the response", { "Cache-Control": "no-store, max-age=60" }, miss);
requirement("9111 3: not with private in a shared cache", { "Cache-Control": "private, max-age=60" }, miss);
requirement("9111 3: not with Vary: *", { "Cache-Control": "max-age=60", Vary: "*" }, miss);
requirement(
  "9111 3.1: fields named by Connection are not stored",
  { "Cache-Control": "max-age=60", Connection: "x-hop", "X-Hop": "1" },
  hit,
);
requirement(
  "9111 3: a 206 is not stored as a whole",
  { status: 206, "Cache-Control": "max-age=60", "Content-Range": "bytes 0-7/100" },
  miss,
);
for (const status of [200, 203, 204, 299, 301, 302, 307, 308, 400, 404, 410, 451, 500, 503]) {
  requirement(
    `9111 3: a final status ${status} with an explicit lifetime is stored`,
    { status, "Cache-Control": "max-age=60" },
    hit,
  );
}
requirement("9111 3.5: not the answer to Authorization", { "Cache-Control": "max-age=60" }, miss, {
  headers: { authorization: "x" },
});
for (const allows of ["public", "must-revalidate", "s-maxage=60"]) {
  requirement(
    `9111 3.5: the answer to Authorization with ${allows}`,
    { "Cache-Control": `max-age=60, ${allows}` },
    hit,
    {
      headers: { authorization: "x" },
    },
  );
}

// Section 4.1: Vary.
const vary = { "Cache-Control": "max-age=60", Vary: "Foo, Accept-Language" };
requirement(
  "9111 4.1: another value of a selecting field does not match",
  vary,
  [{ headers: { foo: "2" }, expect: "MISS" }],
  { headers: { foo: "1" } },
);
requirement("9111 4.1: an absent selecting field matches only an absent one", vary, miss, {
  headers: { foo: "1" },
});
requirement(
  "9111 4.1: whitespace and the order of equals mean nothing",
  vary,
  [{ headers: { foo: "1 ,2", "accept-language": "DE,  en" }, expect: "HIT" }],
  {
    headers: { foo: "1, 2", "accept-language": "en, de" },
  },
);
requirement(
  "9111 4.1: other fields do not matter",
  vary,
  [{ headers: { foo: "1", bar: "2" }, expect: "HIT" }],
  { headers: { foo: "1", bar: "1" } },
);
test("9111 4.1: variants live side by side", () =>
  withBench({ service: answering(vary) }, async (bench) => {
    for (const foo of ["1", "2", "3"]) await bench.ask("/x", { headers: { foo } });
    for (const foo of ["3", "1", "2"]) {
      assert.equal((await bench.ask("/x", { headers: { foo } })).text, `answer ${foo}`);
    }
  }));

// Section 4.2: freshness.
const steps = (fresh: number, stale: number): Step[] => [
  { afterSeconds: fresh, expect: "HIT" },
  { afterSeconds: stale - fresh, expect: "MISS" },
];
requirement("9111 4.2.1: max-age", { "Cache-Control": "max-age=60" }, steps(58, 61));
requirement(
  "9111 4.2.1: s-maxage over max-age",
  { "Cache-Control": "max-age=10, s-maxage=60" },
  steps(58, 61),
);
requirement(
  "9111 4.2.1: max-age over Expires",
  { "Cache-Control": "max-age=60", Expires: -100 },
  steps(58, 61),
);
requirement("9111 4.2.1: Expires minus Date", { Date: 0, Expires: 60 }, steps(55, 62));
requirement(
  "9111 4.2.1: different max-ages count as stale",
  { "Cache-Control": "max-age=60, max-age=600" },
  miss,
);
requirement("9111 4.2.1: equal ones count once", { "Cache-Control": "max-age=60, max-age=60" }, hit);
for (const value of ["-1", "abc", "60a", "6 0", "1.5", ""]) {
  requirement(
    `9111 4.2.1: an invalid lifetime "max-age=${value}" is none`,
    { "Cache-Control": `max-age=${value}`, Expires: 60 },
    miss,
  );
}
requirement(
  "9111 1.2.2: a lifetime larger than any integer is long",
  { "Cache-Control": "max-age=99999999999999" },
  [{ afterSeconds: 86_400, expect: "HIT" }],
);
requirement(
  "9111 4.2.2: a tenth of the time since Last-Modified",
  { Date: 0, "Last-Modified": -1_000 },
  steps(90, 105),
);
requirement(
  "9111 4.2.2: no heuristic for a status that is not cacheable by itself",
  { status: 403, "Last-Modified": -1_000 },
  miss,
);
requirement("9111 4.2.3: Age counts", { "Cache-Control": "max-age=60", Age: "50" }, steps(8, 12));
requirement("9111 4.2.3: an old Date counts", { "Cache-Control": "max-age=60", Date: -50 }, steps(5, 12));
requirement(
  "9111 5.1: of several ages the first one counts",
  { "Cache-Control": "max-age=60", Age: "50, 0" },
  steps(8, 12),
);
requirement("9111 5.1: an invalid Age is ignored", { "Cache-Control": "max-age=60", Age: "-5" }, hit);
requirement(
  "9111 5.3: an invalid Expires is in the past",
  { Date: 0, Expires: "0", "Last-Modified": -10_000 },
  miss,
);
for (const expires of [
  "Thu, 18 Aug 2050 02:01:18 UTC",
  "Thu 18 Aug 2050 02:01:18 GMT",
  "18 Aug 2050",
  "2050-08-18T02:01:18Z",
]) {
  requirement(`9110 5.6.7: "${expires}" is no date`, { Expires: expires }, miss);
}
for (const expires of [
  "Thu, 18 Aug 2050 02:01:18 GMT",
  "Thursday, 18-Aug-50 02:01:18 GMT",
  "Thu Aug 18 02:01:18 2050",
]) {
  requirement(`9110 5.6.7: "${expires}" is one`, { Expires: expires }, hit);
}

// Section 4.3: validation.
const validator = (request: http.IncomingMessage): boolean =>
  request.headers["if-none-match"] === '"v1"' || request.headers["if-modified-since"] !== undefined;
const validated =
  (fields: Fields, fresh: Fields = {}): BenchOptions["service"] =>
  (request, response, count) => {
    if (validator(request)) response.writeHead(304, { ...fields, ...fresh }).end();
    else response.writeHead(200, fields).end(`answer ${count}`);
  };

test("9111 4.3.1: a stale response is validated with ETag and Last-Modified", () => {
  const modified = httpDate(-1_000);
  const fields = { "Cache-Control": "max-age=10", ETag: '"v1"', "Last-Modified": modified };
  return withBench({ service: validated(fields) }, async (bench) => {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    const again = await bench.ask("/x");
    assert.deepEqual([again.status, again.reason, again.text], [200, "OK", "answer 1"]);
    assert.equal(bench.asked[1]?.headers["if-none-match"], '"v1"');
    assert.equal(bench.asked[1]?.headers["if-modified-since"], modified);
    assert.equal((await bench.ask("/x")).cache, "HIT");
    assert.equal(bench.asked.length, 2);
    assert.equal(await bench.counted("revalidated"), 1);
  });
});

test("9111 4.3.3: a new response replaces the stored one", () =>
  withBench(
    {
      service: (_request, response, count) =>
        void response.writeHead(200, { "Cache-Control": "max-age=10", ETag: `"v${count}"` }).end(`v${count}`),
    },
    async (bench) => {
      await bench.ask("/x");
      bench.clock.advanceSeconds(20);
      assert.equal((await bench.ask("/x")).text, "v2");
      assert.equal((await bench.ask("/x")).headers["etag"], '"v2"');
    },
  ));

test("9111 3.2: a 304 freshens the stored fields, but not those of the bytes", () => {
  const fields = {
    "Cache-Control": "max-age=10",
    ETag: '"v1"',
    "X-A": "old",
    "Content-Encoding": "x",
    "Content-Type": "a/b",
  };
  const fresh = {
    "Cache-Control": "max-age=100",
    "X-A": "new",
    "Content-Encoding": "y",
    "Content-Type": "c/d",
  };
  return withBench({ service: validated(fields, fresh) }, async (bench) => {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    for (const how of ["validated", "stored"]) {
      const { headers } = await bench.ask("/x");
      assert.equal(headers["x-a"], "new", how);
      assert.equal(headers["content-type"], "c/d");
      assert.equal(headers["content-encoding"], "x");
      assert.equal(headers["content-length"], "8");
    }
    bench.clock.advanceSeconds(90);
    assert.equal((await bench.ask("/x")).cache, "HIT");
  });
});

test("9111 4.3.4: a 304 about another entity tag updates nothing", () =>
  withBench(
    { service: validated({ "Cache-Control": "max-age=10", ETag: '"v1"' }, { ETag: '"v2"', "X-A": "2" }) },
    async (bench) => {
      await bench.ask("/x");
      bench.clock.advanceSeconds(20);
      const again = await bench.ask("/x");
      assert.deepEqual([again.text, again.headers["x-a"]], ["answer 1", undefined]);
      assert.match(String((await bench.ask("/x")).headers["cache-status"]), /fwd=stale/);
    },
  ));

test("9111 4.3.4: a cookie in a 304 is for this client alone", () => {
  const service: BenchOptions["service"] = (request, response) => {
    const fields = { "Cache-Control": "max-age=10", ETag: '"v1"' };
    if (validator(request)) response.writeHead(304, { ...fields, "Set-Cookie": "a=b" }).end();
    else response.writeHead(200, fields).end("v1");
  };
  return withBench({ service }, async (bench) => {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    assert.deepEqual((await bench.ask("/x")).headers["set-cookie"], ["a=b"]);
    const stored = await bench.ask("/x");
    assert.deepEqual([stored.cache, stored.headers["set-cookie"]], ["HIT", undefined]);
  });
});

const preconditions: readonly [string, Fields, Fields, number][] = [
  ["If-None-Match with the same tag", { ETag: '"v1"' }, { "if-none-match": '"v1"' }, 304],
  ["a weak tag compares weakly", { ETag: 'W/"v1"' }, { "if-none-match": '"v1"' }, 304],
  ["one of a list", { ETag: '"v1"' }, { "if-none-match": '"a", "v1", "b"' }, 304],
  ["a comma inside a tag", { ETag: '"v,1"' }, { "if-none-match": '"a", "v,1"' }, 304],
  ["If-None-Match: *", { ETag: '"v1"' }, { "if-none-match": "*" }, 304],
  ["another tag", { ETag: '"v1"' }, { "if-none-match": '"v2"' }, 200],
  ["a tag that only begins alike", { ETag: '"v1"' }, { "if-none-match": '"v12"' }, 200],
  [
    "If-Modified-Since of that date",
    { "Last-Modified": httpDate(-500) },
    { "if-modified-since": httpDate(-500) },
    304,
  ],
  [
    "If-Modified-Since of an earlier date",
    { "Last-Modified": httpDate(-500) },
    { "if-modified-since": httpDate(-600) },
    200,
  ],
  [
    "If-Modified-Since that is no date",
    { "Last-Modified": httpDate(-500) },
    { "if-modified-since": "yesterday" },
    200,
  ],
  [
    "If-None-Match goes before If-Modified-Since",
    { ETag: '"v1"', "Last-Modified": httpDate(-500) },
    { "if-none-match": '"v2"', "if-modified-since": httpDate(0) },
    200,
  ],
];
for (const [what, stored, asked, status] of preconditions) {
  test(`9111 4.3.2: a client's precondition on a fresh response: ${what}`, () =>
    withBench({ service: answering({ "Cache-Control": "max-age=60", ...stored }) }, async (bench) => {
      await bench.ask("/x");
      const answer = await bench.ask("/x", { headers: asked });
      assert.deepEqual([answer.status, answer.cache], [status, "HIT"]);
      assert.equal(answer.text, status === 304 ? "" : "answer 1");
      if (status === 304) assert.equal(answer.headers["etag"], stored["ETag"]);
      assert.equal(bench.asked.length, 1);
    }));
}

test("9111 4.3.1: a client's precondition on a stale response is answered after our own validation", () =>
  withBench({ service: validated({ "Cache-Control": "max-age=10", ETag: '"v1"' }) }, async (bench) => {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    const answer = await bench.ask("/x", { headers: { "if-none-match": '"v0"' } });
    assert.deepEqual([answer.status, answer.text], [200, "answer 1"]);
    assert.equal(bench.asked[1]?.headers["if-none-match"], '"v1"');
  }));

test("9110 13.1.1: If-Match is the upstream's to answer", () =>
  withBench({ service: answering({ "Cache-Control": "max-age=60", ETag: '"v1"' }) }, async (bench) => {
    await bench.ask("/x");
    assert.equal((await bench.ask("/x", { headers: { "if-match": '"v1"' } })).cache, "BYPASS");
  }));

test("9111 4.3.5: HEAD is answered from GET, with its length and no body", () =>
  withBench({ service: answering({ "Cache-Control": "max-age=60" }) }, async (bench) => {
    const { headers } = await bench.ask("/x");
    const head = await bench.ask("/x", { method: "HEAD" });
    assert.deepEqual([head.status, head.text, head.cache], [200, "", "HIT"]);
    assert.equal(head.headers["content-length"], headers["content-length"] ?? "8");
    assert.equal(bench.asked.length, 1);
  }));

test("9111 4.3.5: an answer to HEAD that differs makes the stored response invalid", () =>
  withBench(
    {
      service: (request, response, count) =>
        void response
          .writeHead(200, {
            "Cache-Control": "max-age=10",
            "Content-Length": request.method === "HEAD" ? "99" : "2",
          })
          .end(request.method === "HEAD" ? undefined : `v${count}`),
    },
    async (bench) => {
      await bench.ask("/x");
      bench.clock.advanceSeconds(20);
      assert.equal((await bench.ask("/x", { method: "HEAD" })).headers["content-length"], "99");
      assert.equal((await bench.ask("/x")).text, "v3");
    },
  ));

// Section 4.4: invalidation.
for (const method of ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"]) {
  requirement(`9111 4.4: a successful ${method} invalidates the URL`, { "Cache-Control": "max-age=60" }, [
    { method, expect: "BYPASS" },
    { expect: "MISS" },
  ]);
}
requirement("9111 4.4: OPTIONS does not", { "Cache-Control": "max-age=60" }, [
  { method: "OPTIONS", expect: "BYPASS" },
  { expect: "HIT" },
]);
test("9111 4.4: a failed one does not; Location and Content-Location of this origin count, of another not", () =>
  withBench(
    {
      service: (request, response, count) => {
        if (request.method === "GET")
          return answering({ "Cache-Control": "max-age=60" })(request, response, count);
        const failed = request.url === "/fail";
        response
          .writeHead(failed ? 500 : 201, { Location: "/a", "Content-Location": "http://other.example/b" })
          .end();
      },
    },
    async (bench) => {
      for (const url of ["/a", "/b", "/fail"]) await bench.ask(url);
      await bench.ask("/fail", { method: "POST" });
      for (const url of ["/a", "/fail"]) assert.equal((await bench.ask(url)).cache, "HIT", url);
      await bench.ask("/make", { method: "POST" });
      assert.equal((await bench.ask("/a")).cache, "MISS");
      assert.equal((await bench.ask("/b")).cache, "HIT");
    },
  ));
test("9111 4.4: on a route that strips its prefix, Location counts as the service means it", () =>
  withBench(
    {
      policy: {
        plugins: ["cache"],
        routes: [{ path: "/api/v1/*", stripPrefix: "/api" }, { path: "/*" }],
      },
      service: (request, response, count) => {
        if (request.method === "GET")
          return answering({ "Cache-Control": "max-age=60" })(request, response, count);
        response.writeHead(201, { Location: "/v1/7", "Content-Location": "//other.example/v1/8" }).end();
      },
    },
    async (bench) => {
      for (const url of ["/api/v1/7", "/api/v1/8", "/v1/7"]) await bench.ask(url);
      await bench.ask("/api/v1/new", { method: "POST" });
      assert.equal((await bench.ask("/api/v1/7")).cache, "MISS");
      assert.equal((await bench.ask("/api/v1/8")).cache, "HIT");
    },
  ));
test("9111 4.4: a URL is made invalid under the query that its answers are kept by", () =>
  withBench(
    {
      cache: { sortQuery: true, ignoreQuery: ["utm"] },
      service: answering({ "Cache-Control": "max-age=60", "Content-Location": "/y?d=1&c=2" }),
    },
    async (bench) => {
      for (const url of ["/x?b=1&a=2&utm=3", "/y?d=1&c=2"]) await bench.ask(url);
      await bench.ask("/x?b=1&a=2&utm=4", { method: "PUT" });
      for (const url of ["/x?b=1&a=2&utm=3", "/y?d=1&c=2"])
        assert.equal((await bench.ask(url)).cache, "MISS", url);
    },
  ));
test("9110 9.3.3: but not without a lifetime of the upstream's own, nor for another URL", async () => {
  for (const fields of [
    { "Content-Location": "/x" },
    { "Cache-Control": "max-age=60", "Content-Location": "/y" },
  ]) {
    await withBench({ cache: { ttlSeconds: 60 }, service: answering(fields) }, async (bench) => {
      await bench.ask("/x", { method: "POST", body: "in" });
      assert.equal((await bench.ask("/x")).text, "answer 2");
    });
  }
});
test("9110 9.3.3: a POST that says to be the representation itself is kept for GET", () =>
  withBench(
    { service: answering({ "Cache-Control": "max-age=60", "Content-Location": "/x" }) },
    async (bench) => {
      await bench.ask("/x", { method: "POST", body: "in" });
      assert.deepEqual([(await bench.ask("/x")).text, bench.asked.length], ["answer 1", 1]);
    },
  ));

// Section 5.1.
test("9111 5.1: Age grows and Date stays", () =>
  withBench({ service: answering({ "Cache-Control": "max-age=600", Age: "30" }) }, async (bench) => {
    const { headers } = await bench.ask("/x");
    bench.clock.advanceSeconds(100);
    const later = await bench.ask("/x");
    assert.equal(Number(later.headers.age) >= 130 && Number(later.headers.age) <= 132, true);
    assert.ok(headers.date === undefined || later.headers.date === headers.date);
  }));

// Section 5.2.1: the request's directives.
const lived = { "Cache-Control": "max-age=100" };
const asks = (control: string, expect: Step["expect"], afterSeconds = 50): Step[] => [
  { afterSeconds, headers: { "cache-control": control }, expect },
];
requirement("9111 5.2.1.1: max-age refuses what is older", lived, asks("max-age=40", "MISS"));
requirement("9111 5.2.1.1: max-age takes what is younger", lived, asks("max-age=60", "HIT"));
requirement(
  "9111 5.2.1.2: max-stale takes what is stale by no more",
  lived,
  asks("max-stale=30", "STALE", 120),
);
requirement(
  "9111 5.2.1.2: max-stale without a limit takes anything",
  lived,
  asks("max-stale", "STALE", 10_000),
);
requirement("9111 5.2.1.2: max-stale refuses what is staler", lived, asks("max-stale=10", "MISS", 120));
requirement("9111 5.2.1.3: min-fresh refuses what will not last", lived, asks("min-fresh=60", "MISS"));
requirement("9111 5.2.1.3: min-fresh takes what will", lived, asks("min-fresh=40", "HIT"));
requirement("9111 5.2.1.4: no-cache asks the upstream", lived, asks("no-cache", "MISS"));
requirement(
  "9111 5.2.1.5: no-store neither uses nor stores",
  lived,
  [{ headers: { "cache-control": "no-store" }, expect: "BYPASS" }, { expect: "MISS" }],
  { headers: { "cache-control": "no-store" } },
);
requirement("9111 5.4: Pragma: no-cache counts where there is no Cache-Control", lived, [
  { headers: { pragma: "no-cache" }, expect: "MISS" },
  { headers: { pragma: "no-cache", "cache-control": "max-age=100" }, expect: "HIT" },
]);
requirement(
  "respectClient: false ignores all of them",
  lived,
  asks("no-cache", "HIT"),
  {},
  { respectClient: false },
);
test("9111 5.2.1.7: only-if-cached is 504 without a stored response", () =>
  withBench({ service: answering(lived) }, async (bench) => {
    const headers = { "cache-control": "only-if-cached" };
    const refused = await bench.ask("/x", { headers });
    assert.deepEqual([refused.status, JSON.parse(refused.text).code], [504, "only_if_cached"]);
    await bench.ask("/x");
    assert.equal((await bench.ask("/x", { headers })).text, "answer 1");
    assert.equal(bench.asked.length, 1);
  }));

// Section 5.2.2: the response's directives.
test("9111 5.2.2.4: no-cache is stored and validated each time", () =>
  withBench(
    { service: validated({ "Cache-Control": "no-cache, max-age=60", ETag: '"v1"' }) },
    async (bench) => {
      for (const _ of [1, 2, 3]) assert.equal((await bench.ask("/x")).text, "answer 1");
      assert.equal(bench.asked.length, 3);
    },
  ));
test("9111 5.2.2.4, 5.2.2.7: fields named by no-cache and private are not reused", () =>
  withBench(
    {
      service: answering({
        "Cache-Control": 'max-age=60, no-cache="x-a, x-b", private="x-c"',
        "X-A": "1",
        "X-B": "2",
        "X-C": "3",
        "X-D": "4",
      }),
    },
    async (bench) => {
      assert.equal((await bench.ask("/x")).headers["x-a"], "1");
      const { headers, cache } = await bench.ask("/x");
      assert.equal(cache, "HIT");
      assert.deepEqual(
        ["x-a", "x-b", "x-c", "x-d"].map((name) => headers[name]),
        [undefined, undefined, undefined, "4"],
      );
    },
  ));
requirement(
  "9111 5.2.2.2: must-revalidate allows reuse while fresh",
  { "Cache-Control": "max-age=60, must-revalidate" },
  hit,
);
requirement(
  "9111 5.2.2.3: must-understand with an unknown status is not stored",
  { status: 599, "Cache-Control": "max-age=60, must-understand" },
  miss,
);
requirement(
  "9111 5.2.2.3: must-understand with a known one goes over no-store",
  { "Cache-Control": "max-age=60, no-store, must-understand" },
  hit,
);
requirement("9111 5.2: directive names know no case", { "Cache-Control": "MAX-Age=60, No-Store" }, miss);
requirement(
  "9111 5.2: an unknown directive changes nothing",
  { "Cache-Control": 'max-age=60, new="no-store, private"' },
  hit,
);
requirement(
  "9111 5.2: an unclosed quote hides nothing",
  { "Cache-Control": 'max-age=60, new="no-store' },
  miss,
);
requirement("9111 5.2: several lines are one list", { "Cache-Control": ["max-age=60", "no-store"] }, miss);
requirement(
  "8246: a reload of a fresh immutable response is a hit",
  { "Cache-Control": "max-age=100, immutable" },
  asks("max-age=0", "HIT"),
);

// RFC 9110 section 14: ranges out of a complete response.
const ranges: readonly [string, string, number, string, string | undefined][] = [
  ["first bytes", "bytes=0-2", 206, "012", "bytes 0-2/10"],
  ["to the end", "bytes=7-", 206, "789", "bytes 7-9/10"],
  ["last bytes", "bytes=-4", 206, "6789", "bytes 6-9/10"],
  ["more than there is", "bytes=5-99", 206, "56789", "bytes 5-9/10"],
  ["behind the end", "bytes=10-", 416, "", "bytes */10"],
  ["several", "bytes=0-1,4-5", 200, "0123456789", undefined],
  ["backwards", "bytes=5-2", 200, "0123456789", undefined],
  ["another unit", "lines=1-2", 200, "0123456789", undefined],
];
for (const [what, range, status, text, contentRange] of ranges) {
  test(`9110 14: ${what} of a stored response`, () =>
    withBench(
      {
        service: (_request, response) =>
          void response.writeHead(200, { "Cache-Control": "max-age=60", ETag: '"v1"' }).end("0123456789"),
      },
      async (bench) => {
        await bench.ask("/x");
        const answer = await bench.ask("/x", { headers: { range } });
        assert.deepEqual(
          [answer.status, answer.text, answer.headers["content-range"]],
          [status, text, contentRange],
        );
        const head = await bench.ask("/x", { method: "HEAD", headers: { range } });
        assert.deepEqual([head.status, head.headers["content-length"]], [200, "10"], "only GET has ranges");
        const other = await bench.ask("/x", { headers: { range, "if-range": '"v2"' } });
        assert.deepEqual([other.status, other.text], [200, "0123456789"]);
        assert.equal(bench.asked.length, 1);
      },
    ));
}

// Incomplete responses, section 3.3.
test("9111 3.3: a response that breaks off is not stored", () =>
  withBench(
    {
      service: (request, response, count) => {
        if (count > 1) return answering({ "Cache-Control": "max-age=60" })(request, response, count);
        response.writeHead(200, { "Cache-Control": "max-age=60", "Content-Length": "100" });
        response.write("part");
        setImmediate(() => response.socket?.destroy());
      },
    },
    async (bench) => {
      await assert.rejects(bench.ask("/x"));
      assert.deepEqual([(await bench.ask("/x")).text, bench.asked.length], ["answer 2", 2]);
    },
  ));
test("9111 3: a body above the limit passes through and is not kept", () =>
  withBench(
    {
      cache: { maxBodyBytes: 1_000 },
      service: (request, response) => {
        const large = Buffer.alloc(5_000, "x");
        response.writeHead(200, {
          "Cache-Control": "max-age=60",
          ...(request.url === "/sized" ? { "Content-Length": "5000" } : {}),
        });
        response.end(large);
      },
    },
    async (bench) => {
      for (const url of ["/sized", "/chunked"]) {
        for (const _ of [1, 2]) {
          const answer: Answer = await bench.ask(url);
          assert.deepEqual([answer.body.length, answer.cache], [5_000, "MISS"]);
        }
      }
    },
  ));
test("a miss streams: the client has the first bytes before the service has sent the last", async () => {
  const rest = gate();
  await withBench(
    {
      service: (_request, response) => {
        response.writeHead(200, { "Cache-Control": "max-age=60" });
        response.write("first ");
        void rest.opened.then(() => response.end("last"));
      },
    },
    async (bench) => {
      const response = await fetch(`${bench.sidecar.url}/x`);
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "first ");
      rest.open();
      assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "last");
      assert.equal((await reader.read()).done, true);
      assert.equal(await (await fetch(`${bench.sidecar.url}/x`)).text(), "first last");
      assert.equal(bench.asked.length, 1);
    },
  );
});

// RFC 9213 and 9211.
requirement(
  "9213 2.2: a targeted field goes before Cache-Control and Expires",
  { "CDN-Cache-Control": "max-age=60", "Cache-Control": "no-store", Expires: "0" },
  hit,
);
requirement(
  "9213 2.2: the sidecar's own name goes before CDN-Cache-Control",
  { "Outrigger-Cache-Control": "no-store", "CDN-Cache-Control": "max-age=60" },
  miss,
);
requirement(
  "9213 2.1: one that is no dictionary counts as absent",
  { "CDN-Cache-Control": "max-age=60, &&", "Cache-Control": "no-store" },
  miss,
);
requirement(
  "9213 2.1: so does one with a lifetime that is no integer",
  { "CDN-Cache-Control": 'max-age="60"', "Cache-Control": "no-store" },
  miss,
);
test("9211 2: Cache-Status tells hit, ttl, and why the upstream was asked", () =>
  withBench(
    { service: answering({ "Cache-Control": "max-age=60", "Cache-Status": "Origin; hit" }) },
    async (bench) => {
      const status = async (headers: Fields = {}): Promise<string> =>
        String((await bench.ask("/x", { headers })).headers["cache-status"]);
      assert.equal(await status(), "Origin; hit, outrigger; fwd=uri-miss; stored");
      assert.match(await status(), /^outrigger; hit; ttl=60$/);
      assert.match(await status({ "cache-control": "no-cache" }), /outrigger; fwd=request; stored$/);
      assert.match(await status({ "cache-control": "no-store" }), /outrigger; fwd=bypass$/);
    },
  ));

// The policy's part.
requirement(
  "ttlSeconds gives a lifetime where the upstream said nothing",
  {},
  steps(25, 31),
  {},
  { ttlSeconds: 30 },
);
requirement("ttlSeconds is not for errors", { status: 500 }, miss, {}, { ttlSeconds: 30 });
requirement(
  "ttlSeconds does not go over the upstream's word",
  { "Cache-Control": "max-age=5" },
  steps(3, 6),
  {},
  { ttlSeconds: 30 },
);
requirement(
  "respectOrigin: false does",
  { "Cache-Control": "max-age=5" },
  steps(25, 31),
  {},
  { ttlSeconds: 30, respectOrigin: false },
);
requirement(
  "negativeTtlSeconds gives one by status",
  { status: 404 },
  steps(8, 11),
  {},
  { negativeTtlSeconds: { "404": 10 } },
);
requirement(
  "vary adds request fields to the key",
  { "Cache-Control": "max-age=60" },
  [
    { headers: { "x-plan": "b" }, expect: "MISS" },
    { headers: { "x-plan": "a" }, expect: "HIT" },
  ],
  { headers: { "x-plan": "a" } },
  { vary: ["X-Plan"] },
);
for (const [what, headers] of [
  ["a field", { "x-preview": "1" }],
  ["a cookie", { cookie: "a=1; session=2" }],
  ["a cookie behind a comma", { cookie: "a=1, session=2" }],
] as const) {
  requirement(
    `bypass: ${what}`,
    { "Cache-Control": "max-age=60" },
    [{ headers, expect: "BYPASS" }, { expect: "HIT" }],
    {},
    {
      bypass: { fields: ["X-Preview"], cookies: ["session"] },
    },
  );
}
test("bypass: a query parameter", () =>
  withBench(
    { cache: { bypass: { query: ["draft"] } }, service: answering({ "Cache-Control": "max-age=60" }) },
    async (bench) => {
      assert.equal((await bench.ask("/x?a=1&draft")).cache, "BYPASS");
      assert.equal((await bench.ask("/x?drafts=1")).cache, "MISS");
    },
  ));
