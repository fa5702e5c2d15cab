// The Dockerfile follows the rules that make an image small and safe to run.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { nodeEnvironment, nodeFlags } from "../../deploy/node-flags.ts";
import { settings } from "../../src/config/settings.ts";
import { isSentToBuild, parseCopy, readDockerfile, root, stagesOf } from "../support/dockerfile.ts";

const instructions = readDockerfile();
const stages = stagesOf(instructions);
const final = stages.at(-1) ?? [];
const textsOf = (name: string, of = instructions): string[] =>
  of.filter((instruction) => instruction.name === name).map(({ text }) => text);
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  dependencies: Record<string, string>;
  license: string;
  scripts: Record<string, string>;
};

test("every line is an instruction that Docker knows, and begins a stage or belongs to one", () => {
  const known = "FROM ARG RUN COPY WORKDIR ENV LABEL USER EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD".split(
    " ",
  );
  assert.deepEqual(
    instructions.filter(({ name, text }) => !known.includes(name) || text === ""),
    [],
  );
  assert.equal(stages.flat().length, instructions.length);
  assert.equal(stages.length, 2);
});

test("both stages stand on the very Node that the package pins, in its slim form", () => {
  for (const text of textsOf("FROM")) {
    assert.match(
      text,
      new RegExp(`^node:${manifest.dependencies["node"]?.replaceAll(".", "\\.")}-slim( AS \\w+)?$`),
    );
  }
});

test("everything that is copied exists and is let in by .dockerignore", () => {
  const names = textsOf("FROM").flatMap((text) => / AS (\w+)$/.exec(text)?.[1] ?? []);
  for (const copy of textsOf("COPY").map(parseCopy)) {
    if (copy.from !== undefined) assert.ok(names.includes(copy.from), copy.from);
    for (const source of copy.from === undefined ? copy.sources : []) {
      assert.ok(existsSync(join(root, source)), source);
      assert.ok(isSentToBuild(source), `${source} is ignored`);
    }
  }
});

test("nothing that may hold a secret, and no installed module, is sent to the build", () => {
  for (const path of [
    ".env",
    ".git/config",
    ".npmrc.local",
    "node_modules/zod/index.js",
    "deploy/redis-acl.conf",
  ]) {
    assert.ok(!isSentToBuild(path), path);
  }
  const text = readFileSync(join(root, "Dockerfile"), "utf8");
  assert.doesNotMatch(text, /secret|token|passw|api_?key|credential/i);
});

test("the image runs one program as a number that is not root", () => {
  assert.match(textsOf("USER", final).at(-1) ?? "", /^[1-9]\d*:[1-9]\d*$/);
  assert.deepEqual(JSON.parse(textsOf("ENTRYPOINT", final).join()), [
    "node",
    ...nodeFlags,
    "/app/outrigger.cjs",
  ]);
  assert.deepEqual(textsOf("ENV", final), [
    ["NODE_ENV=production", ...Object.entries(nodeEnvironment).map((pair) => pair.join("="))].join(" "),
  ]);
  assert.deepEqual(JSON.parse(textsOf("CMD", final).join()), ["run"]);
  assert.deepEqual(textsOf("STOPSIGNAL", final), ["SIGTERM"]);
  // Nothing is copied or run as another user afterwards.
  const after = final.slice(final.findLastIndex(({ name }) => name === "USER"));
  assert.ok(after.every(({ name }) => name !== "RUN" && name !== "COPY"));
});

test("`npm start` runs the sources under the image's flags", () => {
  assert.equal(manifest.scripts["start"], ["node", ...nodeFlags, "src/main.ts", "run"].join(" "));
});

test("the ports exposed are the defaults of the settings", () => {
  const ports = [settings.listen, settings.admin].map((setting) => setting.default?.replace(/.*:/, ""));
  assert.deepEqual(textsOf("EXPOSE", final), [ports.join(" ")]);
});

test("no dev dependency and no package manager is left in the image", () => {
  const copied = textsOf("COPY", final).map(parseCopy);
  assert.ok(copied.every(({ sources }) => sources.every((source) => !source.includes("node_modules"))));
  assert.match(textsOf("RUN", final).join(), /rm -rf \/usr\/local\/lib\/node_modules .*\/npm /);
});

test("health is asked of Node, not of a program that the image lacks", () => {
  const [options = "", command = ""] = textsOf("HEALTHCHECK", final)
    .join()
    .split(/\s*CMD /);
  assert.match(options, /--interval=\d+s --timeout=\d+s/);
  assert.deepEqual(JSON.parse(command), ["node", "/app/health.cjs"]);
});

test("the labels name what it is, under the package's licence", () => {
  const labels = textsOf("LABEL", final).join();
  for (const name of ["title", "description", "licenses"])
    assert.match(labels, new RegExp(`image\\.${name}="`));
  assert.match(labels, new RegExp(`licenses="${manifest.license}"`));
});
