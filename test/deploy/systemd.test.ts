// systemd: the sockets it passes and the notifications it gets, the units, and the Debian package.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { parseDocument } from "yaml";
import { passedSockets } from "../../src/cli/service-manager.ts";
import { root } from "../support/dockerfile.ts";
import { mainFile, startNode } from "../support/process.ts";
import { eventually, freePort } from "../support/redis.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "outrigger-systemd-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const without = (program: string): string | false =>
  existsSync(program) ? false : `${program} is not here (Debian: apt-get install systemd)`;

test("sockets are taken by name, and only by the process that they are for", () => {
  const env = { LISTEN_FDS: "2", LISTEN_PID: "7", LISTEN_FDNAMES: "admin:listen" };
  assert.deepEqual(passedSockets(env, 7), { admin: 3, listen: [4] });
  assert.deepEqual(passedSockets({ ...env, LISTEN_FDNAMES: "" }, 7), { listen: [3, 4] });
  assert.deepEqual(passedSockets(env, 8), {});
  assert.deepEqual(passedSockets({ ...env, LISTEN_FDS: "x" }, 7), {});
  assert.deepEqual(passedSockets({}, 7), {});
});

const activate = "/usr/bin/systemd-socket-activate";
for (const workers of ["1", "2"]) {
  test(
    `with ${workers} worker(s) it serves on a socket that systemd opened`,
    { skip: without(activate) },
    async () => {
      const [port, admin] = [await freePort(), await freePort()];
      const settings = [
        "OUTRIGGER_LISTEN=127.0.0.1:1",
        `OUTRIGGER_ADMIN=127.0.0.1:${admin}`,
        `OUTRIGGER_WORKERS=${workers}`,
        "LOG_LEVEL=warn",
      ];
      const child = spawn(
        activate,
        [
          `--listen=127.0.0.1:${port}`,
          "--fdname=listen",
          ...settings.map((each) => `--setenv=${each}`),
          process.execPath,
          mainFile,
          "run",
        ],
        { stdio: ["ignore", "inherit", "pipe"] },
      );
      try {
        await eventually("systemd listens", async () =>
          fetch(`http://127.0.0.1:${port}/x`).then(
            () => true,
            () => false,
          ),
        );
        // No service stands behind it: the answer is the sidecar's.
        assert.equal((await fetch(`http://127.0.0.1:${port}/x`)).status, 502);
        const ready = `http://127.0.0.1:${admin}/readyz`;
        await eventually("all workers serve", async () => (await fetch(ready)).status === 200);
      } finally {
        child.kill("SIGTERM");
      }
      assert.deepEqual(await once(child, "exit"), [0, null]);
    },
  );
}

/** A service manager's end of sd_notify: prints each message in a line. */
const listener = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])
print("bound", flush=True)
while True: print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`;
const notify = "/usr/bin/systemd-notify";

test(
  "systemd is told that it is ready, alive and stopping",
  { skip: without(notify) || without("/usr/bin/python3") },
  async () => {
    const socket = join(folder, "notify.sock");
    const manager = spawn("/usr/bin/python3", ["-c", listener, socket], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let heard = "";
    manager.stdout.on("data", (part: Buffer) => (heard += part.toString()));
    await eventually("the socket is there", () => heard.includes("bound"));
    const env = {
      NOTIFY_SOCKET: socket,
      WATCHDOG_USEC: "400000",
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
    };
    const sidecar = startNode([mainFile, "run"], env);
    await eventually("it is alive", () => /READY=1[^]*WATCHDOG=1[^]*WATCHDOG=1/.test(heard));
    sidecar.child.kill("SIGTERM");
    const { code, stderr } = await sidecar.end;
    assert.deepEqual([code, stderr], [0, ""]);
    await eventually("its end is told", () => heard.includes("STOPPING=1"));
    manager.kill("SIGKILL");
  },
);

test(
  "the units are sound, and say what their program holds to",
  { skip: without("/usr/bin/systemd-analyze") },
  async () => {
    const text = readFileSync(join(root, "deploy/systemd/outrigger@.service"), "utf8");
    // The very files, but for a program that is here.
    const names = [
      "outrigger@orders.service",
      "outrigger@orders.socket",
      "outrigger-intercept@orders.service",
    ];
    for (const name of names) {
      const unit = readFileSync(join(root, "deploy/systemd", name.replace("orders", "")), "utf8");
      writeFileSync(join(folder, name), unit.replaceAll("/usr/bin/outrigger", "/bin/true"));
    }
    const { stderr } = await run("systemd-analyze", [
      "verify",
      "--man=no",
      ...names.map((name) => join(folder, name)),
    ]);
    assert.equal(
      stderr
        .split("\n")
        .filter((line) => line.includes("outrigger"))
        .join("\n"),
      "",
    );
    const exposure = await run("systemd-analyze", [
      "security",
      "--offline=yes",
      "--threshold=25",
      join(folder, "outrigger@orders.service"),
    ]).catch((error: { stdout: string }) => error);
    assert.match(exposure.stdout, /Overall exposure level for outrigger@orders\.service: [01]\.\d OK/);
    assert.match(text, /^Type=notify\nNotifyAccess=all$/m);
    assert.match(text, /^ExecReload=\/bin\/kill -HUP \$MAINPID$/m);
  },
);

test("the Debian package has program, units and rights as they should be", async () => {
  const bundle = join(folder, "bundle");
  execFileSync("mkdir", ["-p", bundle]);
  writeFileSync(join(bundle, "outrigger.cjs"), 'process.stdout.write(process.argv.slice(2).join(" "));');
  const file = join(folder, "outrigger.deb");
  await run(process.execPath, [join(root, "deploy/deb/build.ts"), bundle, file, "--compression", "none"]);
  const { stdout } = await run("dpkg-deb", ["--contents", file]);
  const contents = stdout.trim().split("\n");
  assert.deepEqual(
    contents.filter((line) => !/ root\/root /.test(line) || /^.{5}w|^.{8}w/.test(line)),
    [],
  );
  for (const path of [
    "usr/bin/outrigger",
    "usr/lib/outrigger/node",
    "lib/systemd/system/outrigger@.service",
    "lib/systemd/system/outrigger-intercept@.service",
    "etc/outrigger/",
    "usr/share/man/man1/outrigger.1",
    "usr/share/bash-completion/completions/outrigger",
  ])
    assert.ok(
      contents.some((line) => line.endsWith(` ./${path}`)),
      path,
    );
  const field = async (name: string): Promise<string> =>
    (await run("dpkg-deb", ["--field", file, name])).stdout.trim();
  assert.equal(await field("Version"), "0.1.0");
  assert.match(await field("Depends"), /libatomic1/);
  const tree = join(folder, "tree");
  await run("dpkg-deb", ["--extract", file, tree]);
  const command = readFileSync(join(tree, "usr/bin/outrigger"), "utf8").replaceAll(
    "/usr/lib",
    join(tree, "usr/lib"),
  );
  writeFileSync(join(tree, "command"), command, { mode: 0o755 });
  assert.equal((await run(join(tree, "command"), ["policy", "schema"])).stdout, "policy schema");
});

test("the examples for Compose, Nomad and ECS name settings that are there, and leave no way around the sidecar", async () => {
  const { settings } = await import("../../src/config/settings.ts");
  const known = new Set(Object.values(settings).map((setting) => setting.env));
  const named = new Set<string>();
  for (const file of ["compose.sidecar.yaml", "nomad.hcl", "ecs.json"]) {
    const text = readFileSync(join(root, "deploy", file), "utf8");
    for (const [name] of text.matchAll(/\b(OUTRIGGER|REDIS)_[A-Z_]+\b/g))
      named.add(name.replace(/_FILE$/, (end) => (known.has(name) ? end : "")));
    assert.match(text, /127\.0\.0\.1:3000/);
  }
  assert.deepEqual(
    [...named].filter((name) => !known.has(name) && !/^OUTRIGGER_DRAIN_MS$/.test(name)),
    [],
  );
  const compose = parseDocument(readFileSync(join(root, "deploy/compose.sidecar.yaml"), "utf8"), {
    logLevel: "silent",
  });
  assert.equal(compose.getIn(["services", "outrigger", "network_mode"]), "service:app");
  assert.equal(compose.getIn(["services", "outrigger", "read_only"]), true);
  const ecs = JSON.parse(readFileSync(join(root, "deploy/ecs.json"), "utf8")) as {
    containerDefinitions: { name: string; portMappings?: unknown; readonlyRootFilesystem?: boolean }[];
  };
  const [sidecar, service] = ecs.containerDefinitions;
  assert.deepEqual([sidecar?.readonlyRootFilesystem, service?.portMappings], [true, undefined]);
});
