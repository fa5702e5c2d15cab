import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { compilePaths, pathPattern } from "../../../src/language/path-pattern.ts";
import { comparablePath, foldCase, pathHazard } from "../../../src/language/path-reading.ts";
import { normalisePath, PathError } from "../../../src/language/request-path.ts";
import { cpuMs } from "../../support/cpu.ts";

describe("pathHazard", () => {
  for (const path of [
    "/public/..%2Fadmin",
    "/public%2F../x",
    "/a\\b",
    "/a%5Cb",
    "/a%00b",
    "/%252e%252e/admin",
    "/a%252fb",
    "/a%25252Fb",
    "/a%255cb",
    "/a%253Bb",
    "/a%2500",
    "/a%252525252525",
    "/%C0%AE%C0%AE/admin",
    "/a%C0%AFb",
    "/%E0%80%AFa",
    "/a/..%3Bx/b",
    "/a/..%20/b",
    "/a/%20../b",
    "/a/..%09/b",
    "/a/%EF%BC%8E%EF%BC%8E/b",
    "/a%EF%BC%BCb",
    "/a;b%2Fc",
    "/a%3Bb%3Fc",
    "/%25%EF%BC%92%EF%BC%A6",
  ]) {
    it(`refuses ${path}`, () => assert.notEqual(pathHazard(path), undefined));
  }

  for (const path of [
    "/",
    "/files/100%25",
    "/files/100%25%20cotton",
    "/files/50%25off",
    "/files/10%25fee",
    "/files/100%2525",
    "/a%2Fb",
    "/@scope%2Fname",
    "/a;v=1/b;w=2",
    "/caf%C3%A9",
    "/%E3%81%82",
    "/%E4",
    "/what%3F",
    "/a%20b",
    "/...",
    "/a;..;/b",
    "/v1/books:search",
  ]) {
    it(`takes ${path}`, () => assert.equal(pathHazard(path), undefined));
  }

  it("takes no longer for a long path", () => {
    const startedMono = cpuMs();
    for (const text of [
      `/a${"%25".repeat(5_000)}`,
      `/a%25${"25".repeat(8_000)}`,
      `/a${"%20".repeat(5_000)}b`,
      `/${";".repeat(16_000)}`,
      `/${"%EF%BC%8F".repeat(1_700)}`,
    ]) {
      pathHazard(text);
      comparablePath(text);
    }
    assert.ok(cpuMs() - startedMono < 500);
  });
});

// What services are known to do to a path, one step each. Any number of them, in any order, is a reading of the path.
const steps: readonly ((path: string) => string)[] = [
  (path) =>
    path.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  (path) => path.replace(/%2[Ff]/g, "/"),
  (path) => path.replace(/;[^/]*/g, ""),
  (path) => path.replace(/%3[Bb][^/]*/g, ""),
  (path) => path.replace(/[?#].*$/s, ""),
  (path) => path.replace(/%(?:3[Ff]|23).*$/s, ""),
  (path) => path.replaceAll("\\", "/"),
  (path) => path.replace(/(?<=\/)[\0-\x20]+|[\0-\x20]+(?=\/|$)/g, ""),
  (path) => path.replace(/(?:%20|%09)+(?=\/|$)/g, ""),
  (path) => (path.length > 1 ? path.replace(/\/$/, "") : path),
  (path) => path.normalize("NFKC"),
  function removeDots(path) {
    const kept: string[] = [];
    for (const part of path.split("/")) {
      if (part === "..") kept.pop();
      else if (part !== "" && part !== ".") kept.push(part);
    }
    return `/${kept.join("/")}`;
  },
];
const piece = fc.constantFrom(
  "/",
  "/",
  "a",
  "admin",
  "x",
  ".",
  "..",
  "%2F",
  "%2f",
  "%25",
  "25",
  "2f",
  "2e",
  "%2e",
  "%5C",
  ";",
  ";v=1",
  "%3B",
  "3B",
  "%3F",
  "%20",
  "%09",
  "%61",
  "61dmin",
  "%C0%AE",
  "%EF%BC%8F",
  "%C3%A9",
  "\\",
);
const path = fc
  .array(piece, { maxLength: 9 })
  .map((pieces) => {
    try {
      return normalisePath(`/${pieces.join("")}`);
    } catch (error) {
      if (error instanceof PathError) return undefined;
      throw error;
    }
  })
  .filter((text) => text !== undefined);
const readings = fc.array(fc.constantFrom(...steps), { maxLength: 6 });
const patterns = ["/admin/*", "/admin", "/a/*", "/a/admin", "/x/admin/*", "/caf%C3%A9/*"];

/** Whether a service that took the path for this text would serve what the pattern names. */
function names(pattern: string, text: string): boolean {
  const base = pattern.replace("/*", "").replace("%C3%A9", "\u00c3\u00a9");
  return text === base || (pattern.endsWith("/*") && text.startsWith(`${base}/`));
}

describe("the comparable form", () => {
  it("is reached by whatever a service could read the path as", () => {
    fc.assert(
      fc.property(path, readings, (text, taken) => {
        const read = taken.reduce((at, step) => step(at), text);
        for (const pattern of patterns) {
          if (!names(pattern, read)) continue;
          const set = compilePaths([pattern], false);
          assert.ok(
            set.couldBe({ path: text, strippedPath: text, upstreamPath: text }),
            `${text} read as ${read} passes ${pattern}`,
          );
        }
      }),
      { numRuns: 20_000 },
    );
  });

  it("holds for what is spelled out", () => {
    fc.assert(
      fc.property(path, fc.constantFrom(...patterns), (text, pattern) => {
        const set = compilePaths([pattern], false);
        if (set.spells(text))
          assert.ok(set.couldBe({ path: text, strippedPath: text, upstreamPath: text }), text);
      }),
    );
  });

  it("is its own", () => {
    fc.assert(
      fc.property(path, (text) => assert.equal(comparablePath(text), comparablePath(comparablePath(text)))),
    );
  });

  for (const [spelling, form] of [
    ["/admin;a=1/x", "/admin/x"],
    ["/admin%3Ba=1/x", "/admin/x"],
    ["/exact/", "/exact"],
    ["/", "/"],
    ["/;x", "/"],
    ["/admin%20/x", "/admin/x"],
    ["/%2561dmin", "/admin"],
    ["/admin%3Fx/y", "/admin"],
    ["/%EF%BD%81dmin", "/admin"],
    ["/a%2Fb", "/a/b"],
  ] as const) {
    it(`of ${spelling} is ${form}`, () => assert.equal(comparablePath(spelling), form));
  }

  it("keeps an encoded slash within its segment when asked to", () => {
    assert.notEqual(comparablePath("/a%2Fb", false, "kept"), "/a/b");
    assert.equal(comparablePath("/a%2Fb", false, "kept").split("/").length, 2);
  });

  it("folds case for services that do", () => {
    assert.equal(comparablePath("/ADMIN/X", true), "/admin/x");
    assert.equal(comparablePath("/%C3%84", true), comparablePath("/%C3%A4", true));
    assert.equal(foldCase("/%C3%84"), foldCase("/%C3%A4"));
    assert.equal(comparablePath("/%E2%84%AA", true), "/k");
  });
});

describe("path patterns", () => {
  const flaw = (text: string): string | undefined => pathPattern.safeParse(text).error?.issues[0]?.message;

  it("are refused when no request could have them", () => {
    for (const text of [
      "/files/%7Ebob/*",
      "/a//b",
      "/\u00e4",
      "/%c3%a4/*",
      "/a/../b",
      "/a*",
      "/a/*/b",
      "a",
      "/a?b",
    ]) {
      assert.notEqual(flaw(text), undefined, text);
    }
    for (const text of ["/a%252Fb", "/%20/*", "/a/..%20"]) assert.notEqual(flaw(text), undefined, text);
  });

  it("take whole segments", () => {
    const set = compilePaths(["/a/b/*", "/c"], false);
    for (const text of ["/a/b", "/a/b/", "/a/b/c/d", "/c"]) assert.ok(set.spells(text), text);
    for (const text of ["/a/bc", "/a", "/c/", "/c/d", "/A/b"]) assert.ok(!set.spells(text), text);
    assert.ok(compilePaths(["/A/b/*"], true).spells("/a/B/c"));
    assert.ok(compilePaths(["/*"], false).couldBe({ path: "*", strippedPath: "*", upstreamPath: "*" }));
  });
});
