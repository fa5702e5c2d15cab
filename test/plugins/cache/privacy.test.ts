// No caller ever gets another caller's answer, and no one can store an answer where others find it.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { answering, startBench, type BenchOptions, until } from "./harness.ts";

/** A service that answers with who asks, as a personal page would. */
const personal =
  (fields: Record<string, string>): BenchOptions["service"] =>
  (request, response, count) => {
    response.writeHead(200, fields);
    response.end(`${String(request.headers["x-user"] ?? "nobody")} ${count}`);
  };

test("two identities never share an answer that does not say public", async () => {
  const bench = await startBench({ service: personal({ "Cache-Control": "max-age=60" }) });
  try {
    assert.equal((await bench.ask("/me", { headers: { "x-user": "ann" } })).text, "ann 1");
    assert.equal((await bench.ask("/me", { headers: { "x-user": "bob" } })).text, "bob 2");
    assert.equal((await bench.ask("/me")).text, "nobody 3");
    const again = await bench.ask("/me", { headers: { "x-user": "ann" } });
    assert.deepEqual([again.text, again.cache], ["ann 1", "HIT"]);
    assert.equal((await bench.ask("/me")).text, "nobody 3");
  } finally {
    await bench.stop();
  }
});

test("the same user in another tenant is another caller", async () => {
  const bench = await startBench({ service: personal({ "Cache-Control": "max-age=60" }) });
  try {
    await bench.ask("/me", { headers: { "x-user": "ann", "x-tenant": "one" } });
    const other = await bench.ask("/me", { headers: { "x-user": "ann", "x-tenant": "two" } });
    assert.equal(other.cache, "MISS");
  } finally {
    await bench.stop();
  }
});

for (const control of ["public, max-age=60", "s-maxage=60"]) {
  test(`an answer with ${control} is everybody's`, async () => {
    const bench = await startBench({ service: personal({ "Cache-Control": control }) });
    try {
      await bench.ask("/all", { headers: { "x-user": "ann" } });
      const other = await bench.ask("/all", { headers: { "x-user": "bob" } });
      assert.deepEqual([other.text, other.cache], ["ann 1", "HIT"]);
    } finally {
      await bench.stop();
    }
  });
}

test("scope: identity keeps even public answers apart; scope: shared joins them", async () => {
  for (const [scope, cached] of [
    ["identity", "MISS"],
    ["shared", "HIT"],
  ] as const) {
    const control = scope === "identity" ? "public, max-age=60" : "max-age=60";
    const bench = await startBench({ cache: { scope }, service: personal({ "Cache-Control": control }) });
    try {
      await bench.ask("/x", { headers: { "x-user": "ann" } });
      assert.equal((await bench.ask("/x", { headers: { "x-user": "bob" } })).cache, cached, scope);
    } finally {
      await bench.stop();
    }
  }
});

test("what scope: shared has stored is nobody else's any more once the policy says auto", async () => {
  const policy = (scope: string) => ({ plugins: ["cache", "identify"], pluginConfig: { cache: { scope } } });
  const bench = await startBench({
    policy: policy("shared"),
    service: (request, response) => {
      response.setHeader("Cache-Control", "max-age=60");
      response.end(String(request.headers["x-user"]));
    },
  });
  const asked = async (target: string, user?: string): Promise<string> =>
    (await bench.ask(target, user === undefined ? {} : { headers: { "x-user": user } })).text;
  try {
    assert.deepEqual([await asked("/x", "alice"), await asked("/x", "bob")], ["alice", "alice"]);
    bench.sidecar.setPolicy(policy("auto"));
    let fresh = 0;
    await until("the new policy is in force", async () => {
      fresh += 1;
      await asked(`/${fresh}`, "alice");
      return (await asked(`/${fresh}`, "bob")) === "bob";
    });
    assert.deepEqual([await asked("/x", "bob"), await asked("/x")], ["bob", "undefined"]);
  } finally {
    await bench.stop();
  }
});

test("an anonymous answer is not a known caller's", async () => {
  const bench = await startBench({ service: personal({ "Cache-Control": "max-age=60" }) });
  try {
    await bench.ask("/me");
    assert.equal((await bench.ask("/me", { headers: { "x-user": "ann" } })).text, "ann 2");
  } finally {
    await bench.stop();
  }
});

for (const credential of ["authorization", "cookie", "x-api-key"]) {
  test(`the policy's lifetime never shares the answer to a request with ${credential}`, async () => {
    const bench = await startBench({ cache: { ttlSeconds: 60 }, service: personal({}) });
    try {
      const headers = { [credential]: "secret-of-ann" };
      assert.equal((await bench.ask("/me", { headers })).text, "nobody 1");
      assert.equal((await bench.ask("/me")).text, "nobody 2");
      assert.equal((await bench.ask("/me")).cache, "HIT");
      // And what was stored for nobody in particular is not for one who shows a credential.
      assert.equal((await bench.ask("/me", { headers })).text, "nobody 3");
    } finally {
      await bench.stop();
    }
  });
}

test("an answer with Set-Cookie is never stored, whatever else it says", async () => {
  for (const cache of [{}, { ttlSeconds: 60, respectOrigin: false }]) {
    const bench = await startBench({
      cache,
      service: answering({ "Cache-Control": "public, max-age=60", "Set-Cookie": "session=1" }),
    });
    try {
      await bench.ask("/x");
      const second = await bench.ask("/x");
      assert.equal(second.text, "answer 2");
      assert.deepEqual(second.headers["set-cookie"], ["session=1"]);
    } finally {
      await bench.stop();
    }
  }
});

test("a policy that strips Set-Cookie takes it from everybody and stores the answer", async () => {
  const bench = await startBench({
    cache: { stripSetCookie: true },
    service: answering({ "Cache-Control": "max-age=60", "Set-Cookie": "session=1" }),
  });
  try {
    assert.equal((await bench.ask("/x")).headers["set-cookie"], undefined);
    const second = await bench.ask("/x");
    assert.deepEqual([second.cache, second.headers["set-cookie"]], ["HIT", undefined]);
  } finally {
    await bench.stop();
  }
});

test("respectOrigin: false overrides a lifetime, but neither private nor no-store", async () => {
  for (const [control, cached] of [
    ["max-age=0", "HIT"],
    ["no-cache", "HIT"],
    ["private", "MISS"],
    ["private, max-age=60", "MISS"],
    ["no-store", "MISS"],
  ] as const) {
    const bench = await startBench({
      cache: { ttlSeconds: 60, respectOrigin: false },
      service: answering({ "Cache-Control": control }),
    });
    try {
      await bench.ask("/x");
      assert.equal((await bench.ask("/x")).cache, cached, control);
    } finally {
      await bench.stop();
    }
  }
});

test("a Vary on a field that a plugin behind the cache sets is not stored for everybody", async () => {
  const bench = await startBench({
    policy: {
      plugins: ["cache", "transform"],
      pluginConfig: { transform: { addHeaders: { "X-Plan": "gold" } } },
    },
    service: answering({ "Cache-Control": "public, max-age=60", Vary: "X-Plan" }),
  });
  try {
    await bench.ask("/x");
    assert.equal((await bench.ask("/x")).cache, "MISS");
  } finally {
    await bench.stop();
  }
});

for (const [field, env] of [
  ...["X-Original-URL", "X-Host", "X-HTTP-Method-Override"].map(
    (name) => [name, { OUTRIGGER_KEEP_OVERRIDES: name }] as const,
  ),
  ...["Front-End-Https", "X-Scheme", "X-Url-Scheme"].map((name) => [name, {}] as const),
]) {
  test(`${field} of one client poisons nobody else's answer`, async () => {
    const bench = await startBench({
      env,
      service: (request, response) => {
        response.setHeader("Cache-Control", "public, max-age=60");
        response.end(String(request.headers[field.toLowerCase()] ?? "clean"));
      },
    });
    try {
      await bench.ask("/x", { headers: { [field]: "evil" } });
      assert.equal((await bench.ask("/x")).text, "clean");
      assert.equal((await bench.ask("/x", { headers: { [field]: "evil" } })).text, "evil");
    } finally {
      await bench.stop();
    }
  });
}

for (const [status, headers] of [
  [416, { range: "bytes=1000-" }],
  [412, { "if-none-match": "*" }],
  [431, { "x-long": "x".repeat(4_000) }],
] as const) {
  test(`a ${status} that one client brings about is nobody else's answer`, async () => {
    const bench = await startBench({
      cache: { negativeTtlSeconds: { [status]: 60 } },
      service: (request, response) => {
        const asked = Object.keys(headers).some((name) => name in request.headers);
        response.writeHead(asked ? status : 200, { "Cache-Control": "public, max-age=60" });
        response.end();
      },
    });
    try {
      assert.equal((await bench.ask("/x", { headers })).status, status);
      assert.equal((await bench.ask("/x")).status, 200);
    } finally {
      await bench.stop();
    }
  });
}

test("X-Forwarded-Host of a stranger reaches neither the service nor the key", async () => {
  const bench = await startBench({
    service: (request, response) => {
      response.setHeader("Cache-Control", "max-age=60");
      response.end(String(request.headers["x-forwarded-host"]));
    },
  });
  try {
    const first = await bench.ask("/x", { headers: { "X-Forwarded-Host": "evil.example" } });
    assert.doesNotMatch(first.text, /evil/);
    assert.equal((await bench.ask("/x")).cache, "HIT");
  } finally {
    await bench.stop();
  }
});

test("a GET with a body neither uses nor fills the cache", async () => {
  const bench = await startBench({ service: answering({ "Cache-Control": "max-age=60" }) });
  try {
    const fat = await bench.ask("/x", { headers: { "content-length": "4" }, body: "evil" });
    assert.equal(fat.cache, "BYPASS");
    assert.equal((await bench.ask("/x")).text, "answer 2");
  } finally {
    await bench.stop();
  }
});

test("hosts, queries and methods are different things", async () => {
  const bench = await startBench({ service: answering({ "Cache-Control": "max-age=60" }) });
  try {
    const seen = new Set<string>();
    for (const target of ["/x", "/x?a=1", "/x?a=2", "/X", "/x?a=1&a=2", "/x?a=2&a=1"])
      seen.add((await bench.ask(target)).text);
    for (const host of ["a.example", "b.example"])
      seen.add((await bench.ask("/x", { headers: { host } })).text);
    assert.equal(seen.size, 8);
  } finally {
    await bench.stop();
  }
});

test("an ignored parameter cannot hide another one behind a semicolon", async () => {
  const bench = await startBench({
    cache: { ignoreQuery: ["utm"], sortQuery: true },
    service: answering({ "Cache-Control": "max-age=60" }),
  });
  try {
    await bench.ask("/x?id=1&utm=a");
    assert.equal((await bench.ask("/x?utm=b&id=1")).cache, "HIT");
    assert.equal((await bench.ask("/x?id=1&utm=b;id=2")).cache, "MISS");
    assert.equal((await bench.ask("/x?id=1")).text, "answer 1");
  } finally {
    await bench.stop();
  }
});

test("property: a hit never differs from what the service would have answered that caller", async () => {
  // The service's answer depends on exactly what its Vary, its directives and the identity let it depend on.
  const bench = await startBench({
    service: (request, response) => {
      const kind = (request.url ?? "").split("/")[1];
      const language = request.headers["accept-language"] ?? "-";
      const user = String(request.headers["x-user"] ?? "-");
      const control =
        kind === "public" ? "public, max-age=60" : kind === "private" ? "private" : "max-age=60";
      response.writeHead(200, { "Cache-Control": control, Vary: "Accept-Language" });
      response.end(kind === "public" ? `${request.url} ${language}` : `${request.url} ${language} ${user}`);
    },
  });
  const requests = fc.record({
    kind: fc.constantFrom("public", "own", "private"),
    page: fc.constantFrom("a", "b"),
    user: fc.option(fc.constantFrom("ann", "bob"), { nil: undefined }),
    language: fc.option(fc.constantFrom("de", "en"), { nil: undefined }),
  });
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(requests, { minLength: 1, maxLength: 8 }), async (series) => {
        for (const { kind, page, user, language } of series) {
          const url = `/${kind}/${page}`;
          const { text } = await bench.ask(url, {
            headers: {
              ...(user === undefined ? {} : { "x-user": user }),
              ...(language === undefined ? {} : { "accept-language": language }),
            },
          });
          const expected = `${url} ${language ?? "-"}`;
          assert.equal(text, kind === "public" ? expected : `${expected} ${user ?? "-"}`);
        }
      }),
      { numRuns: 60 },
    );
    assert.ok((await bench.counted("hit")) > 20, "hits happened");
  } finally {
    await bench.stop();
  }
});
