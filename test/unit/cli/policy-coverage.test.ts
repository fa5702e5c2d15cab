// `policy coverage` as a user runs it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { outrigger } from "../../support/process.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-coverage-"));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | object): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

const rules = [
  { name: "writers", path: "/users/*", methods: ["DELETE"], allow: { scopes: { any: ["write"] } } },
  { path: "/admin/*", allow: { roles: { all: ["admin"] }, claims: { dept: { oneOf: ["ops", "dev"] } } } },
  { path: "/inner/*", allow: { client: { cidrs: ["10.0.0.0/8"] } } },
  { path: "/shut/*", deny: {} },
];
const limit = { name: "all", by: "ip", limit: 100, window: "1m", when: { paths: ["/users/*"] } };
const policy = write("policy.json", {
  apiVersion: "outrigger/v1",
  plugins: ["auth", "rate-limit"],
  pluginConfig: {
    auth: { apiKeys: {}, exclude: ["/health", "/users/me"], rules },
    "rate-limit": { limits: [limit] },
  },
  routes: [
    { path: "/users/*" },
    ...["/admin/*", "/inner/*", "/shut/*", "/health"].map((path) => ({ path })),
    { path: "/static/*", plugins: ["respond"], pluginConfig: { respond: { status: 204 } } },
    { path: "/asked/*", plugins: ["ext-auth"], pluginConfig: { "ext-auth": { url: "http://127.0.0.1:1/" } } },
    { path: "/checked/*", plugins: ["auth", "validate"], pluginConfig: { validate: { schema: {} } } },
    { path: "/back/*", stripPrefix: "/back", plugins: [], services: ["other"] },
  ],
  tests: [{ name: "shut to nobody", request: { path: "/users/7?x=1" }, expect: { status: 401 } }],
});

interface Line {
  readonly method: string;
  readonly operation: string;
  readonly path: string;
  readonly route: string | null;
  readonly reach: string;
  readonly rule: string | null;
  readonly limit: string | null;
  readonly tests: readonly string[];
  readonly lacks: readonly string[];
  readonly answers: readonly { readonly caller: string; readonly because: string | null }[];
}
interface Told {
  readonly ok: boolean;
  readonly uncovered: number;
  readonly services: readonly {
    readonly services: readonly string[];
    readonly operations: readonly Line[];
  }[];
  readonly notKnown: readonly string[];
}

async function cover(...args: string[]): Promise<Told & { readonly code: number | null }> {
  const { code, stdout, stderr } = await outrigger(["policy", "coverage", policy, ...args, "--json"]);
  assert.equal(stderr, "");
  return { ...(JSON.parse(stdout) as Told), code };
}

const linesOf = (told: Told, service = "default"): readonly Line[] =>
  told.services.find(({ services }) => services.includes(service))?.operations ?? [];

const openapi = write(
  "openapi.yaml",
  `openapi: 3.0.3
paths:
  /users/{id}:
    parameters: [{ $ref: "#/components/parameters/id" }]
    get: { responses: { 200: { description: good } } }
    delete: {}
  /health: { get: {} }
  /admin/things: { get: {} }
  /inner/things: { get: {} }
  /shut/things: { get: {} }
  /static/{name}: { get: {} }
  /asked/things: { get: {} }
  /checked/things: { post: {} }
  /nowhere: { $ref: "#/components/pathItems/gone" }
components:
  parameters: { id: { name: id, in: path, required: true, schema: { type: integer } } }
  pathItems: { gone: { post: {} } }
`,
);

describe("operations of an OpenAPI document", () => {
  test("who reaches each, by which rule and limit, and what tests it", async () => {
    const told = await cover("--openapi", openapi);
    assert.deepEqual(
      linesOf(told).map((line) => [
        `${line.method} ${line.path}`,
        line.reach,
        line.rule,
        line.limit,
        line.tests.length,
      ]),
      [
        ["GET /users/1", "known", null, "rate-limit", 1],
        ["GET /users/me", "anyone", null, "rate-limit", 0],
        ["DELETE /users/1", "permitted", "auth", "rate-limit", 0],
        ["DELETE /users/me", "anyone", null, "rate-limit", 0],
        ["GET /health", "anyone", null, null, 0],
        ["GET /admin/things", "permitted", "auth", null, 0],
        ["GET /inner/things", "refused", "auth", null, 0],
        ["GET /shut/things", "refused", "auth", null, 0],
        ["GET /static/example", "plugin", null, null, 0],
        ["GET /asked/things", "untold", "ext-auth", null, 0],
        // Refused for its body alone.
        ["POST /checked/things", "known", null, null, 0],
        ["POST /nowhere", "unrouted", null, null, 0],
      ],
    );
    const because = linesOf(told)[2]?.answers.map((answer) => answer.because);
    assert.deepEqual(because, ["no credential", "rule writers: scopes", null]);
  });

  test("a service whose routes take a prefix off is asked behind it, too", async () => {
    const { services } = await cover("--openapi", openapi, "--service", "other");
    const open = services[0]?.operations.filter(({ route }) => route === "/back/*") ?? [];
    assert.equal(open.length, 10);
    assert.deepEqual(new Set(open.map(({ reach }) => reach)), new Set(["anyone"]));
    assert.equal(open.at(-1)?.operation, "/back/nowhere");
  });

  test("a path is the most concrete operation's, and so are its tests; the closest servers count", async () => {
    const overlapping = write("overlapping.json", {
      openapi: "3.0.3",
      servers: [{ url: "https://a.test/v0" }],
      paths: {
        "/{id}": { servers: [{ url: "/users" }], get: {}, delete: { servers: [{ url: "/admin" }] } },
        "/users/7": { servers: [{ url: "/" }], get: {} },
        "/users/me": { servers: [{ url: "/" }], get: {} },
      },
    });
    const told = await cover("--openapi", overlapping, "--service", "default");
    assert.deepEqual(
      linesOf(told).map(({ method, operation, path, tests }) => [method, operation, path, tests.length]),
      [
        ["GET", "/users/{id}", "/users/example", 0],
        ["DELETE", "/admin/{id}", "/admin/example", 0],
        ["GET", "/users/7", "/users/7", 1],
        ["GET", "/users/me", "/users/me", 0],
      ],
    );
  });

  test("--strict: exit 1 where nothing covers one; --require: where one of these is missing", async () => {
    const part = (path: string, name: string) =>
      write(name, {
        openapi: "3.1.0",
        servers: [{ url: "https://a.test/users" }],
        paths: { [path]: { get: {} } },
      });
    const tested = part("/{id}", "tested.json");
    const open = await cover("--openapi", openapi, "--strict", "--service", "default");
    assert.deepEqual([open.code, open.ok, open.uncovered], [1, false, 4]);
    const covered = await cover("--openapi", tested, "--strict", "--service", "default");
    assert.deepEqual([covered.code, covered.ok, linesOf(covered)[0]?.operation], [0, true, "/users/{id}"]);
    const required = await cover("--openapi", tested, "--require", "rule,limit", "--service", "default");
    assert.deepEqual([required.code, required.uncovered], [1, 2]);
    assert.deepEqual(linesOf(required)[0]?.lacks, ["rule"]);
  });

  test("as a table, with what is not known", async () => {
    const args = ["policy", "coverage", policy, "--openapi", openapi, "--service", "default"];
    const { code, stdout, stderr } = await outrigger(args);
    assert.equal(code, 0);
    assert.match(stdout, /^GET +\/users\/\{id\} \(\/users\/me\) +\/users\/\* +anyone /m);
    assert.match(stdout, /^DELETE .* somebody: 403 by auth, rule writers: scopes$/m);
    assert.match(stdout, /^4 without a rule, a limit and a test$/m);
    assert.match(stderr, /^asked from 192\.0\.2\.1 without body/);
  });
});

test("operations of a log are those that the service answered, ids folded", async () => {
  const line = (more: object): string =>
    JSON.stringify({
      time: 1_764_324_000_000,
      msg: "request",
      service: "orders",
      route: "/users/*",
      method: "GET",
      path: "/users/7",
      host: "a.test",
      status: 200,
      durationMs: 5,
      clientIp: "192.0.2.7",
      ...more,
    });
  const log = write(
    "access.log",
    [
      line({}),
      line({ path: "/users/8" }),
      line({ path: "/users/8f14e45f-ceea-467f-a9d3-1c2b3d4e5f60", method: "DELETE" }),
      line({ path: "/.env", status: 404 }),
      line({ path: "/admin/x", status: 401, answeredBy: "auth", error: "unauthorized" }),
      line({ service: "bills", path: "/health" }),
    ].join("\n"),
  );
  const told = await cover("--from-logs", log);
  assert.deepEqual(
    linesOf(told, "orders").map(({ method, operation, reach }) => [method, operation, reach]),
    [
      ["GET", "/users/{id}", "known"],
      ["GET", "/users/{id}", "anyone"],
      ["DELETE", "/users/{id}", "permitted"],
      ["DELETE", "/users/{id}", "anyone"],
    ],
  );
  assert.match(told.notKnown[1] ?? "", /2 requests that it did not answer are left out/);
});

describe("what is refused", () => {
  const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["neither of them", [], /^name one of --openapi and --from-logs$/m],
    [
      "an unknown part",
      ["--openapi", openapi, "--require", "rule,sun"],
      /^--require takes rule,limit,test$/m,
    ],
    ["a document of another version", ["--openapi", write("2.json", { swagger: "2.0" })], /openapi: must be/],
    [
      "a reference that leads elsewhere",
      [
        "--openapi",
        write("ref.json", { openapi: "3.1.0", paths: { "/a": { $ref: "http://127.0.0.1:1/" } } }),
      ],
      /\/a: \$ref leads out of the document$/m,
    ],
    ["no file", ["--openapi", join(folder, "none.yaml")], /none\.yaml is not taken: ENOENT/],
  ];
  for (const [name, args, message] of refused) {
    test(name, async () => {
      const { code, stderr } = await outrigger(["policy", "coverage", policy, ...args]);
      assert.notEqual(code, 0);
      assert.match(stderr, message);
    });
  }
});
