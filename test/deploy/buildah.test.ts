// Builds the Dockerfile with buildah, which needs no daemon, if it is installed and this machine lets it run. The base
// is made of the Node that runs this test, since image registries are out of reach. The built image starts as its own
// user, and only root can write its files.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { readDockerfile, root, stagesOf } from "../support/dockerfile.ts";
import { eventually, freePort } from "../support/redis.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "outrigger-buildah-"));
const storage = [
  "--root",
  join(folder, "root"),
  "--runroot",
  join(folder, "run"),
  "--storage-driver",
  "overlay",
];
const isolation = ["--isolation", "chroot"];

async function buildah(...args: readonly string[]): Promise<string> {
  const { stdout } = await run("buildah", [...storage, ...args], { cwd: root, maxBuffer: 1 << 26 });
  return stdout.trim();
}

/** Why it cannot be tried here; false = it can. */
function whyNot(): string | false {
  try {
    execFileSync("buildah", [...storage, "from", "scratch"], { stdio: "pipe" });
    execFileSync("buildah", [...storage, "rm", "--all"], { stdio: "pipe" });
    return false;
  } catch (error) {
    const text = String((error as { stderr?: unknown }).stderr ?? error);
    return `THE IMAGE IS NOT BUILT HERE, only its steps are carried out (image.test.ts): ${text.split("\n")[0]}`;
  }
}

const skip = whyNot();
after(async () => {
  if (skip === false) await buildah("rm", "--all").catch(() => undefined);
  rmSync(folder, { recursive: true, force: true });
});

/** Programs with the libraries that they load, below a folder. */
function copyPrograms(base: string, programs: readonly string[]): void {
  for (const program of programs) {
    const libraries = execFileSync("ldd", [program], { encoding: "utf8" });
    for (const file of [program, ...(libraries.match(/\/\S+\.so\S*/g) ?? [])]) {
      mkdirSync(dirname(join(base, file)), { recursive: true });
      cpSync(realpathSync(file), join(base, file));
    }
  }
}

/** In the place of `node:…-slim`. Its npm has what it would install already, below /deps. */
async function makeBase(name: string): Promise<void> {
  const base = join(folder, "base");
  for (const path of [
    "usr/local/bin",
    "tmp",
    "deps/node_modules",
    "npm",
    "usr/local/lib/node_modules",
    "etc",
  ])
    mkdirSync(join(base, path), { recursive: true });
  const [bundler = ""] = globSync(join(root, "node_modules/@rolldown/binding-linux-*/*.node"));
  copyPrograms(base, ["/bin/sh", "/bin/rm", "/bin/ln", "/usr/bin/env", process.execPath, bundler]);
  cpSync(process.execPath, join(base, "usr/local/bin/node"));
  rmSync(join(base, process.execPath));
  const npm = `#!/bin/sh\nif [ "$1" = ci ]; then exec ln -s /deps/node_modules node_modules; fi\nexec node /npm/bin/npm-cli.js "$@"\n`;
  writeFileSync(join(base, "usr/local/bin/npm"), npm, { mode: 0o755 });
  const container = await buildah("from", "scratch");
  await buildah("copy", container, base, "/");
  await buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container);
  await buildah("commit", "--rm", "--disable-compression", container, name);
}

/** Builds it; the first one makes the base. */
async function build(tag: string, ...options: readonly string[]): Promise<void> {
  const [from = ""] = stagesOf(readDockerfile()).map(([first]) => first?.text.split(" ")[0] ?? "");
  const npm = dirname(dirname(realpathSync(execFileSync("which", ["npm"], { encoding: "utf8" }).trim())));
  const volumes = ["-v", `${join(root, "node_modules")}:/deps/node_modules:ro`, "-v", `${npm}:/npm:ro`];
  base ??= makeBase(`docker.io/library/${from}`);
  await base;
  await buildah("bud", "--pull=never", ...isolation, ...volumes, ...options, "-t", tag, ".");
}
let base: Promise<void> | undefined;

const isLong = process.env["OUTRIGGER_TEST_LONG"] === "1";

test(
  "two builds are the same image, without the bytecode, which V8 never writes twice alike",
  {
    skip: skip || (isLong ? false : "takes half a minute: OUTRIGGER_TEST_LONG=1"),
  },
  async () => {
    const ids = [];
    for (const tag of ["once", "twice"]) {
      await build(tag, "--format", "oci", "--timestamp", "0", "--build-arg", "BYTECODE=off");
      ids.push(await buildah("images", "--quiet", "--no-trunc", tag));
    }
    assert.equal(ids[0], ids[1]);
  },
);

test("buildah builds it, and it runs as its user over files that it cannot write", { skip }, async () => {
  await build("outrigger", "--format", "docker");
  const { Docker: image, Manifest: manifest } = JSON.parse(
    await buildah("inspect", "--type", "image", "outrigger"),
  ) as {
    Manifest: string;
    Docker: {
      config: { User: string; Healthcheck: { Test: string[] }; Entrypoint: string[]; Cmd: string[] };
    };
  };
  const { layers } = JSON.parse(manifest) as { layers: { size: number }[] };
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  assert.ok(bytes < 200e6, `${bytes} bytes, uncompressed, with the bundler that this base has`);
  assert.equal(image.config.User, "65532:65532");
  assert.deepEqual(image.config.Healthcheck.Test, ["CMD", "node", "/app/health.cjs"]);

  const container = await buildah("from", "--pull-never", "outrigger");
  const [port, admin] = [await freePort(), await freePort()];
  const env = [`OUTRIGGER_LISTEN=127.0.0.1:${port}`, `OUTRIGGER_ADMIN=127.0.0.1:${admin}`].flatMap((each) => [
    "--env",
    each,
  ]);
  const program = [...image.config.Entrypoint, ...image.config.Cmd];
  const started = spawn("buildah", [...storage, "run", ...isolation, ...env, container, "--", ...program], {
    stdio: "pipe",
    // A group of its own, for the signal to reach what runs in the container.
    detached: true,
  });
  let said = "";
  for (const stream of [started.stdout, started.stderr])
    stream.on("data", (part: Buffer) => (said += part.toString()));
  try {
    await eventually("it is alive", async () => (await statusOf(admin)) === 200).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${said}`);
    });
    const health = ["run", ...isolation, ...env, container, "--", "node", "/app/health.cjs"];
    await buildah(...health);
    const look = `const fs = require("node:fs"), all = fs.readdirSync("/app").map((name) => "/app/" + name).concat("/app", "/");
      console.log(JSON.stringify([process.getuid(), process.getgid(),
        all.filter((path) => { try { fs.accessSync(path, fs.constants.W_OK); return true; } catch { return false; } }), fs.existsSync("/usr/local/bin/npm")]))`;
    const seen = await buildah("run", ...isolation, container, "--", "node", "-e", look);
    assert.deepEqual(JSON.parse(seen), [65532, 65532, [], false]);
  } finally {
    process.kill(-(started.pid ?? 0), "SIGTERM");
    await new Promise((resolve) => started.once("exit", resolve));
  }
});

function statusOf(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    http
      .get({ port, path: "/livez" }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
      .on("error", () => resolve(undefined));
  });
}
