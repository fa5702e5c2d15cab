import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { normalisePath, PathError } from "../../../src/language/request-path.ts";
import { cpuMs } from "../../support/cpu.ts";

describe("normalisePath", () => {
  for (const [given, expected] of [
    ["/", "/"],
    ["/a/b", "/a/b"],
    ["/a/b/", "/a/b/"],
    ["/a//b", "/a/b"],
    ["//a", "/a"],
    ["/a/./b", "/a/b"],
    ["/a/../b", "/b"],
    ["/a/..", "/"],
    ["/a/b/..", "/a/"],
    ["/%61", "/a"],
    ["/%7Euser", "/~user"],
    ["/a%2fb", "/a%2Fb"],
    ["/a/%2E%2e/b", "/b"],
    ["/.hidden/...", "/.hidden/..."],
    ["/a;x=1/b", "/a;x=1/b"],
  ] as const) {
    it(`${given} becomes ${expected}`, () => assert.equal(normalisePath(given), expected));
  }

  for (const path of [
    "/..",
    "/a/../..",
    "/%2e%2e",
    "/a%",
    "/a%4",
    "/a%zz",
    "/a b",
    "/a#b",
    "/caf\xe9",
    "a",
    "",
    "/a/..;/b",
    "/.;x",
  ]) {
    it(`${JSON.stringify(path)} is refused`, () => assert.throws(() => normalisePath(path), PathError));
  }

  const piece = fc.constantFrom(
    "a",
    "b",
    ".",
    "..",
    "",
    "%2e",
    "%2E%2e",
    "%2f",
    "%41",
    "%7e",
    "c;d",
    "%5c",
    "%252e",
    "%3b",
    "x.y",
  );
  const path = fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join("/")}`);
  const normalised = path.map((text) => {
    try {
      return normalisePath(text);
    } catch {
      return undefined;
    }
  });

  it("gives a form that is its own normal form", () => {
    fc.assert(fc.property(normalised, (form) => form === undefined || normalisePath(form) === form));
  });

  it("gives no form with a dot segment, an empty segment, or an escape of a plain character", () => {
    fc.assert(
      fc.property(normalised, (form) => {
        if (form === undefined) return;
        assert.doesNotMatch(form, /\/\.{1,2}(\/|$)/);
        assert.doesNotMatch(form, /\/\//);
        assert.doesNotMatch(form, /%(2E|41|7E)/i);
      }),
    );
  });

  it("agrees with WHATWG URL on where dot segments lead, once slashes are merged", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "b", ".", "..", "%2e%2E"), { maxLength: 8 }), (pieces) => {
        const text = `/${pieces.join("/")}`;
        let form: string | undefined;
        try {
          form = normalisePath(text);
        } catch {
          return;
        }
        assert.equal(form, new URL(`http://h${text}`).pathname);
      }),
    );
  });

  it("never takes long, whatever the path", () => {
    const startedMono = cpuMs();
    for (const text of [
      `/${"a/".repeat(8_000)}`,
      `/${"%2e%2e/".repeat(2_000)}`,
      `/${"a".repeat(16_000)} `,
      `/${".".repeat(16_000)}`,
    ]) {
      try {
        normalisePath(text);
      } catch (error) {
        assert.ok(error instanceof PathError);
      }
    }
    assert.ok(cpuMs() - startedMono < 500);
  });
});
