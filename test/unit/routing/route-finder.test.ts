import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { normalisePath, PathError } from "../../../src/language/request-path.ts";
import { RouteFinder, type FindableRoute } from "../../../src/routing/route-finder.ts";

const open = (path: string, more: Partial<FindableRoute> = {}): FindableRoute => ({
  path,
  methods: undefined,
  caseInsensitive: false,
  refusesEncodedSlash: false,
  guarded: false,
  decides: "",
  ...more,
});
const guarded = (path: string, more: Partial<FindableRoute> = {}): FindableRoute =>
  open(path, { guarded: true, refusesEncodedSlash: true, decides: "auth", ...more });

async function find(routes: readonly FindableRoute[], target: string, method = "GET"): Promise<string> {
  const finder = await RouteFinder.over(new Map(routes.map((route) => [route, route])));
  const found = finder.match(normalisePath(target), method);
  return found.kind === "found" ? found.route.path : found.kind;
}

describe("a path that could be read as another route's", () => {
  const routes = [open("/*"), guarded("/admin/*"), guarded("/exact"), guarded("/only", { methods: ["GET"] })];

  it("is refused where that one decides", async () => {
    for (const target of [
      "/admin;a/x",
      "/admin%3Ba/x",
      "/admin%20",
      "/exact/",
      "/exact;x",
      "/admin%2Fx",
      "/%2561dmin",
    ]) {
      assert.equal(await find(routes, target), "ambiguous", target);
    }
    assert.equal(await find(routes, "/only/", "POST"), "ambiguous", "405 for its own spelling");
  });

  it("goes on where nobody decides, or the same is decided", async () => {
    for (const target of ["/x/", "/x;a=1", "/100%25", "/a%2Fb", "/Admin/x", "/exactly/"]) {
      assert.equal(await find(routes, target), "/*", target);
    }
    const alike = [guarded("/*"), guarded("/exact")];
    assert.equal(await find(alike, "/exact/"), "/*");
    assert.equal(
      await find([guarded("/*", { decides: "auth 2" }), guarded("/exact")], "/exact/"),
      "ambiguous",
    );
  });

  it("goes on where the policy itself tells the spellings apart", async () => {
    assert.equal(await find([open("/*"), guarded("/a"), open("/a/")], "/a/"), "/a/");
    assert.equal(await find([open("/*"), guarded("/a"), open("/a/")], "/a;x/"), "ambiguous");
  });

  it("with an encoded slash is refused wherever another route begins", async () => {
    const plain = [open("/*"), open("/a/b")];
    assert.equal(await find(plain, "/a%2Fb"), "ambiguous");
    assert.equal(await find(plain, "/a%2Fc"), "/*");
    const segments = [guarded("/projects/*", { refusesEncodedSlash: false }), guarded("/*")];
    assert.equal(await find(segments, "/projects/a%2Fb"), "/projects/*");
    assert.equal(await find(segments, "/projects%2Fa"), "ambiguous");
    assert.equal(await find(segments, "/x/a%2Fb"), "ambiguous");
  });
});

describe("case-insensitive routes", () => {
  const fold = { caseInsensitive: true };
  const routes = [open("/*"), guarded("/Admin/*", fold), open("/Open/*")];

  it("take every spelling, and leave the others' as they are", async () => {
    for (const target of ["/Admin/x", "/admin/x", "/ADMIN"])
      assert.equal(await find(routes, target), "/Admin/*", target);
    assert.equal(await find(routes, "/open/x"), "/*");
    assert.equal(await find(routes, "/ADMIN;a/x"), "ambiguous");
    assert.equal(await find([open("/*"), guarded("/%C3%84/*", fold)], "/%c3%a4/x"), "/%C3%84/*");
  });

  it("do not hide what others guard in their spelling", async () => {
    assert.equal(await find([open("/*", fold), guarded("/admin/*")], "/ADMIN/x"), "ambiguous");
  });
});

describe("for any routes and any path", () => {
  const piece = fc.constantFrom(
    "a",
    "b",
    "A",
    ";x",
    "%3Bx",
    "/",
    "%2F",
    "%20",
    "%25",
    "61",
    "..",
    "%5C",
    "%C3%A9",
  );
  const target = fc.array(piece, { maxLength: 7 }).map((pieces) => `/${pieces.join("")}`);
  const pattern = fc.constantFrom("/*", "/a", "/a/", "/a/*", "/b/*", "/a/b", "/a/b/*");
  const route = fc.tuple(pattern, fc.boolean(), fc.boolean());

  it("what is found is found again in the form that a service could read", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(route, { selector: ([path]) => path, maxLength: 5 }),
        target,
        async (list, text) => {
          const routes = list.map(([path, isGuarded, fold]) =>
            (isGuarded ? guarded : open)(path, { caseInsensitive: fold, decides: isGuarded ? path : "" }),
          );
          let path: string;
          try {
            path = normalisePath(text);
          } catch (error) {
            if (error instanceof PathError) return;
            throw error;
          }
          const found = await find(routes, path);
          const chosen = routes.find((each) => each.path === found);
          // The policy names this very spelling.
          if (chosen === undefined || !chosen.path.endsWith("/*")) return;
          // Once decoded, once without parameters, once without the slash at the end.
          const decoded = path.replaceAll("%2F", "/").replaceAll("%3B", ";").replaceAll("%20", "");
          const read =
            decoded
              .replace(/;[^/]*/g, "")
              .replace(/\/+/g, "/")
              .replace(/(?<=.)\/$/, "") || "/";
          let again: string;
          try {
            again = await find(routes, read);
          } catch (error) {
            // Refused under that name on every route.
            if (error instanceof PathError) return;
            throw error;
          }
          const other = routes.find((each) => each.path === again);
          if (
            other === undefined ||
            other.decides === "" ||
            other.path.replace(/(?<=.)\/$/, "") === found.replace(/(?<=.)\/$/, "")
          )
            return;
          assert.equal(found, other.path, `${text} read as ${read}`);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
