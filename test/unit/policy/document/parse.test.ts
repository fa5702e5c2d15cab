// Untrusted bytes: every faulty document is refused as a whole, with all its problems and their paths.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createPolicyParser } from "../../../../src/policy/document/parse.ts";
import { parseText, problemsOf, saidOf, samplePlugins, text } from "../sample.ts";
import { cpuMs } from "../../../support/cpu.ts";

const said = (document: string | Uint8Array, format: "json" | "yaml" = "json"): Promise<string[]> =>
  saidOf(() => parseText(document, format));

const route = (members: object): Promise<string[]> => routes(members);
const routes = (...list: object[]): Promise<string[]> =>
  said(text({ routes: list.map((each) => ({ path: "/a/*", ...each })) }));

describe("a policy document that is no document", () => {
  test("empty", async () => {
    assert.deepEqual(await said(""), [": is empty"]);
    assert.deepEqual(await said(" \n\t"), [": is empty"]);
    assert.deepEqual(await said("{}"), ['apiVersion: must be "outrigger/v1"']);
    assert.deepEqual(await said("# only a comment\n", "yaml"), [": expected object, received null"]);
  });

  test("not UTF-8", async () => {
    assert.deepEqual(await said(Buffer.from([0x7b, 0xff, 0x7d])), [": is not UTF-8"]);
  });

  test("garbage", async () => {
    assert.deepEqual(await said("garbage"), [": is not JSON: unexpected character"]);
    assert.deepEqual(await said('{"apiVersion":'), ["apiVersion: is not JSON: the text ends too early"]);
    assert.deepEqual(await said("[1]"), [": expected object, received array"]);
    assert.match((await said("a: [1", "yaml")).join(), /is not YAML/);
    assert.match((await said("a: 1\n---\nb: 2\n", "yaml")).join(), /is not YAML/);
    assert.match((await said("apiVersion: !custom x\n", "yaml")).join(), /is not YAML/);
  });

  test("too large, by the limit given", async () => {
    const large = text({ plugins: [] }) + " ".repeat(1_048_577);
    assert.match((await said(large)).join(), /^: is \d+ bytes long; at most 1048576 are taken$/);
    const parse = createPolicyParser({ plugins: samplePlugins, maxBytes: 10 });
    assert.match((await saidOf(() => parse(Buffer.from(text({})), "json"))).join(), /at most 10/);
  });

  test("too much YAML, before the library has made anything of it", async () => {
    const startedMs = cpuMs();
    for (const item of ["x,", "*a,", "{},"]) {
      const long = `a: [${item.repeat(Math.floor(1_000_000 / item.length))}x]`;
      assert.match((await said(long, "yaml")).join(), /is too much for YAML from here on: write it as JSON/);
    }
    for (const line of ["a: 1\n", "# x\n", "- :\n"]) {
      const long = line.repeat(Math.floor(1_000_000 / line.length));
      assert.match(
        (await said(long, "yaml")).join(),
        /is too much for YAML from here on: write it as JSON/,
        line,
      );
    }
    assert.ok(cpuMs() - startedMs < 10_000);
  });

  test("too deep", async () => {
    assert.match((await said(`{"apiVersion":${"[".repeat(100_000)}`)).join(), /nested deeper than 32 levels/);
    const startedMs = cpuMs();
    for (const level of ["[", "{a: ", "- ", "? ", "- ? [", "!t [", "&a ["]) {
      const long = level.repeat(Math.floor(1_000_000 / level.length));
      assert.match((await said(long, "yaml")).join(), /nested deeper than 32 levels/, level);
    }
    const stairs = Array.from({ length: 1_000 }, (_, level) => `${" ".repeat(level)}a:`).join("\n");
    assert.match((await said(stairs, "yaml")).join(), /nested deeper than 32 levels/);
    assert.ok(cpuMs() - startedMs < 3_000, "the text is not read to its end");
  });
});

describe("names that are dangerous", () => {
  for (const name of ["__proto__", "constructor", "prototype", "\\u005f_proto__"]) {
    test(`${name} is refused wherever it stands, in JSON and YAML`, async () => {
      const spelled = JSON.parse(`"${name}"`) as string;
      const inJson = `{"apiVersion":"outrigger/v1","pluginConfig":{"transform":{"addHeaders":{"${name}":{"x":1}}}}}`;
      assert.deepEqual(await said(inJson), [
        `pluginConfig.transform.addHeaders.${spelled}: the name "${spelled}" is not allowed`,
      ]);
      const inYaml = `apiVersion: outrigger/v1\n"${name}": { polluted: true }\n`;
      assert.deepEqual(await said(inYaml, "yaml"), [`${spelled}: the name "${spelled}" is not allowed`]);
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    });
  }

  test("a name given twice is refused in JSON and YAML, beside the other problems", async () => {
    assert.deepEqual(await said('{"apiVersion":"outrigger/v1","plugins":["auth"],"plugins":[],"x":1}'), [
      "plugins: given twice",
      'x: unknown field "x"',
    ]);
    const yaml = "apiVersion: outrigger/v1\nroutes:\n  - path: /a\n    path: /b\n";
    assert.deepEqual(await problemsOf(() => parseText(yaml, "yaml")), [
      { path: "routes[0].path", message: "given twice", line: 4, column: 5 },
    ]);
  });
});

describe("YAML", () => {
  test("a document with anchors is read like the JSON it stands for", () => {
    const yaml = `
apiVersion: outrigger/v1
plugins: &usual [logging, auth]
routes:
  - path: /a
    plugins: *usual
`;
    assert.deepEqual(parseText(yaml, "yaml"), {
      apiVersion: "outrigger/v1",
      plugins: ["logging", "auth"],
      routes: [{ path: "/a", plugins: ["logging", "auth"] }],
    });
  });

  test("an anchor that contains itself is refused", async () => {
    const yaml = "apiVersion: outrigger/v1\npluginConfig: &loop\n  auth: *loop\n";
    assert.deepEqual(await said(yaml, "yaml"), ["pluginConfig.auth.auth: alias of itself"]);
    assert.match((await said("a: *nowhere\n", "yaml")).join(), /alias of nothing/);
  });

  test("merge keys bring what the map does not say itself", async () => {
    const yaml = `
apiVersion: outrigger/v1
routes:
  - &base { path: /a, plugins: [logging], timeout: 5 }
  - <<: *base
    path: /b
  - { path: /c, <<: [{ timeout: 7 }, *base] }
`;
    assert.deepEqual(parseText(yaml, "yaml"), {
      apiVersion: "outrigger/v1",
      routes: [
        { path: "/a", plugins: ["logging"], timeout: 5 },
        { path: "/b", plugins: ["logging"], timeout: 5 },
        { path: "/c", plugins: ["logging"], timeout: 7 },
      ],
    });
    assert.match((await said("<<: 1\n", "yaml")).join(), /takes a map/);
    assert.match((await said("<<: {a: 1}\n<<: {b: 1}\n", "yaml")).join(), /given twice/);
    assert.match((await said('"<<": {}\n', "yaml")).join(), /unknown field/);
    assert.match((await said("a: &a\n  <<: *a\n", "yaml")).join(), /alias of itself/);
    const levels = ["a0: &a0 {x: 1}"];
    for (let level = 1; level < 400; level++) levels.push(`a${level}: &a${level} {<<: *a${level - 1}, y: 1}`);
    assert.match((await said(levels.join("\n"), "yaml")).join(), /aliases add up to too much/);
  });

  test("aliases of aliases do not multiply without bound", async () => {
    const levels = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"];
    for (let level = 1; level < 10; level++) {
      levels.push(
        `b${level}: &a${level} [${Array(10)
          .fill(`*a${level - 1}`)
          .join(", ")}]`,
      );
    }
    const started = cpuMs();
    assert.match((await said(levels.join("\n"), "yaml")).join(), /aliases add up to too much/);
    assert.ok(cpuMs() - started < 2000);
  });

  test("many names in one map do not take quadratic time", async () => {
    const yaml = Array.from({ length: 20_000 }, (_, index) => `key${index}: 1`).join("\n");
    const started = cpuMs();
    const problems = await problemsOf(() => parseText(yaml, "yaml"));
    assert.ok(cpuMs() - started < 5000);
    assert.ok(problems.length <= 101);
    assert.match(problems.at(-1)?.message ?? "", /more problems$|unknown field/);
  });

  test("names that are not strings are refused", async () => {
    assert.match(
      (await said("apiVersion: outrigger/v1\n1: x\n? [a]\n: y\n", "yaml")).join(),
      /must be a string/,
    );
  });

  test("each problem has its line and column", async () => {
    const yaml = "apiVersion: outrigger/v1\nroutes:\n  - path: /a\n    timeout: soon\n  - pth: /b\n";
    assert.deepEqual(await problemsOf(() => parseText(yaml, "yaml")), [
      { path: "routes[0].timeout", message: "expected number, received string", line: 4, column: 5 },
      { path: "routes[1].path", message: "is missing: expected string", line: 5, column: 5 },
      { path: "routes[1].pth", message: 'unknown field "pth", did you mean "path"?', line: 5, column: 5 },
    ]);
  });
});

describe("fields", () => {
  test("all problems of a document come at once, each with its path", async () => {
    const problems = await said(
      text({
        apiVersion: "v2",
        plugins: ["auht", "auth", "auth"],
        pluginConfig: { cash: {} },
        locked: "auth",
        rules: [],
        routes: [{ path: "a", upstream: "http://u:p@x/", stripPrefix: "/b" }, 7, { path: "/x", extra: 1 }],
      }),
    );
    assert.deepEqual(
      problems.toSorted(),
      [
        'apiVersion: must be "outrigger/v1"',
        "locked: expected array, received string",
        'pluginConfig.cash: unknown plugin "cash"',
        'plugins[0]: unknown plugin "auht", did you mean "auth"?',
        "plugins[2]: listed twice",
        "routes[0].path: must start with /",
        "routes[0].stripPrefix: must be the leading whole segments of path, without / at its end",
        "routes[0].upstream: must be http://host:port, https://host:port (with a plain base path or none, without user or query) or unix:/path",
        "routes[1]: expected object, received number",
        'routes[2].extra: unknown field "extra"',
        'rules: unknown field "rules", did you mean "routes"?',
      ].toSorted(),
    );
  });

  for (const path of ["/", "/*", "/a", "/a/", "/a/*", "/a.b/~c/%20/%C3%A9", "/a;v=1/b:c@d", "/..a"]) {
    test(`path ${path} is taken`, () => void parseText(text({ routes: [{ path }] })));
  }
  for (const path of [
    "",
    "a",
    "/a*",
    "/*/a",
    "/a/*/*",
    "//",
    "/a//b",
    "//*",
    "/a/../b",
    "/./a",
    "/a/..;x/b",
    "/a?b",
    "/a#b",
    "/é",
    "/a b",
    "/%2e%2e/a",
    "/a%2Fb",
    "/a%5Cb",
    "/a%00",
    "/%41",
    "/%c3",
    "/%",
    "/a\\b",
    `/${"x".repeat(2048)}`,
  ]) {
    test(`path ${JSON.stringify(path.slice(0, 20))} is refused`, async () => {
      assert.match((await said(text({ routes: [{ path }] }))).join(), /^routes\[0\]\.path: /);
    });
  }

  test("methods are known and in upper case, each once", async () => {
    assert.match(
      (await route({ methods: ["GET", "get", "FETCH", "CONNECT"] })).join("\n"),
      /methods\[1\].*\n.*methods\[2\].*\n.*methods\[3\]/,
    );
    assert.deepEqual(await route({ methods: ["GET", "GET"] }), ["routes[0].methods[1]: listed twice"]);
    assert.match((await route({ methods: [] })).join(), /^routes\[0\]\.methods: /);
    assert.match((await route({ services: [] })).join(), /^routes\[0\]\.services: /);
  });

  test("a time limit is a whole number of milliseconds within bounds", async () => {
    for (const timeout of [0, -1, 1.5, 3_600_001, "10s", null]) {
      assert.match((await route({ timeout })).join(), /^routes\[0\]\.timeout: /, String(timeout));
    }
    assert.match(
      (await said('{"apiVersion":"outrigger/v1","routes":[{"path":"/","timeout":1e999}]}')).join(),
      /timeout/,
    );
  });

  test("a stripped prefix is made of whole segments of the path", async () => {
    for (const stripPrefix of ["/b", "/a/", "/", "", "a", "/aa", "/a/*"]) {
      assert.match((await route({ stripPrefix })).join(), /^routes\[0\]\.stripPrefix: /, stripPrefix);
    }
    parseText(
      text({
        routes: [
          { path: "/a/b/*", stripPrefix: "/a" },
          { path: "/a", stripPrefix: "/a" },
        ],
      }),
    );
    assert.match(
      (await said(text({ routes: [{ path: "/abc/*", stripPrefix: "/ab" }] }))).join(),
      /stripPrefix/,
    );
  });

  test("an upstream is an origin or a socket", async () => {
    for (const upstream of [
      "ftp://localhost",
      "localhost:3000",
      "http://",
      "http://u@localhost",
      "http://localhost/x/../y",
      "http://localhost?x",
      "http://localhost:0",
      "http://localhost:99999",
      "http://127.1:80",
      "http:localhost",
      "http://[::1",
      "unix:relative",
      "unix:",
      `unix:/${"x".repeat(108)}`,
      "http://a\\b",
      "http://a b",
    ]) {
      assert.match((await route({ upstream })).join(), /^routes\[0\]\.upstream: must/, upstream);
    }
    for (const upstream of [
      "http://localhost:3000",
      "https://127.0.0.1",
      "http://[::1]:80",
      "unix:/run/x.sock",
    ]) {
      parseText(text({ routes: [{ path: "/", upstream }] }));
    }
  });

  test("an upstream elsewhere has to be allowed, for this service's routes", async () => {
    const refused = (where: string): string[] => [
      `routes[0].upstream: ${where} is neither on loopback nor in OUTRIGGER_UPSTREAM_ALLOW: add ${where} there to allow it`,
    ];
    assert.deepEqual(await route({ upstream: "http://169.254.169.254" }), refused("169.254.169.254:80"));
    const parse = createPolicyParser({
      plugins: samplePlugins,
      service: "users",
      isUpstreamAllowed: () => false,
    });
    const parseFor = (service: string): unknown => {
      const route = { path: "/", services: [service], upstream: "http://x:1" };
      return parse(Buffer.from(text({ routes: [route] })), "json");
    };
    assert.ok(parseFor("gateway"));
    assert.deepEqual(await saidOf(() => parseFor("users")), refused("x:1"));
  });

  test("two routes may not answer for one request", async () => {
    const twin = "routes[1].path: same path and method as routes[0]";
    assert.deepEqual(await routes({}, {}), [twin]);
    assert.deepEqual(await routes({ methods: ["GET", "PUT"] }, { methods: ["POST", "PUT"] }), [twin]);
    assert.deepEqual(await routes({ services: ["a", "b"] }, { services: ["b"] }), [twin]);
    assert.deepEqual(await routes({ services: ["a"] }, {}), [twin]);
    assert.deepEqual(await routes({}, { services: ["a"] }), [twin]);
    parseText(
      text({
        routes: [
          { path: "/a/*", methods: ["GET"] },
          { path: "/a/*", methods: ["PUT"] },
          { path: "/a/*" },
          { path: "/a", services: ["a"] },
          { path: "/a", services: ["b"] },
        ],
      }),
    );
  });

  test("a very long list of problems is cut", async () => {
    const problems = await problemsOf(() => parseText(text({ plugins: Array(5000).fill("x") })));
    assert.ok(problems.length <= 101);
  });
});
