import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Router, type Routable } from "../../../src/routing/router.ts";
import { cpuMs } from "../../support/cpu.ts";

const route = (path: string, ...methods: string[]): Routable => ({
  path,
  methods: methods.length > 0 ? methods : undefined,
});
const routerOf = (routes: readonly Routable[]): Router<Routable> =>
  new Router(routes.map((each) => [each, each]));
const found = (router: Router<Routable>, path: string, method = "GET"): string => {
  const match = router.match(path, method);
  return match.kind === "found" ? match.route.path : match.kind;
};

describe("the router", () => {
  it("matches prefixes by whole segments", () => {
    const router = routerOf([route("/api/users/*")]);
    assert.equal(found(router, "/api/users"), "/api/users/*");
    assert.equal(found(router, "/api/users/"), "/api/users/*");
    assert.equal(found(router, "/api/users/7/x"), "/api/users/*");
    assert.equal(found(router, "/api/usersX"), "none");
    assert.equal(found(router, "/api"), "none");
  });

  it("prefers exact to prefix, and longer to shorter, whatever the order", () => {
    const routes = [route("/*"), route("/a/*"), route("/a/b/*"), route("/a/b"), route("/a")];
    for (const order of [routes, routes.toReversed()]) {
      const router = routerOf(order);
      assert.equal(found(router, "/a/b"), "/a/b");
      assert.equal(found(router, "/a/b/c"), "/a/b/*");
      assert.equal(found(router, "/a"), "/a");
      assert.equal(found(router, "/a/c"), "/a/*");
      assert.equal(found(router, "/"), "/*");
      assert.equal(found(router, "/z"), "/*");
    }
  });

  it("the most specific path decides: another method there is 405 with what is allowed, not a wider route", () => {
    const router = routerOf([route("/*"), route("/a/*", "GET", "POST")]);
    const match = router.match("/a/b", "DELETE");
    assert.equal(match.kind, "wrong-method");
    assert.deepEqual(match.kind === "wrong-method" && match.allow, ["GET", "HEAD", "POST"]);
  });

  it("methods of one path may lie on several routes; HEAD goes with GET unless it has its own", () => {
    const routes = [route("/a", "GET"), route("/a", "POST"), route("/b", "GET"), route("/b", "HEAD")];
    const router = routerOf(routes);
    assert.equal(router.match("/a", "HEAD").kind, "found");
    const head = router.match("/b", "HEAD");
    assert.equal(head.kind === "found" && head.route, routes[3]);
  });

  it("agrees with the plain definition", () => {
    const segment = fc.constantFrom("a", "b", "ab", "c");
    const path = fc.array(segment, { maxLength: 4 }).map((parts) => `/${parts.join("/")}`);
    const pattern = fc
      .tuple(path, fc.boolean())
      .map(([text, prefix]) => (prefix ? `${text === "/" ? "" : text}/*` : text));
    fc.assert(
      fc.property(fc.uniqueArray(pattern, { maxLength: 10 }), path, (patterns, wanted) => {
        const router = routerOf(patterns.map((text) => route(text)));
        const takes = (text: string): boolean =>
          text.endsWith("/*")
            ? wanted === text.slice(0, -2) || wanted.startsWith(text.slice(0, -1))
            : text === wanted;
        const best = patterns.filter(takes).toSorted((a, b) => rank(b) - rank(a))[0];
        assert.equal(found(router, wanted), best ?? "none");
      }),
    );
    function rank(text: string): number {
      return text.endsWith("/*") ? text.length : 1_000;
    }
  });

  it("a path of ten thousand segments costs no more look-ups than the deepest prefix", () => {
    const router = routerOf([route("/a/*"), route("/a/b/c/*")]);
    const startedMono = cpuMs();
    for (let i = 0; i < 1_000; i += 1) router.match(`/a${"/x".repeat(8_000)}`, "GET");
    assert.ok(cpuMs() - startedMono < 1_000);
  });
});
