// The same as intercept.test.ts, with an eBPF program (deploy/ebpf): compiled, loaded and pinned here, with real
// clients.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Network, whyNoNetwork } from "../support/network.ts";
import { killed, mainFile, passedOn } from "../support/process.ts";
import { eventually } from "../support/redis.ts";

const uid = 65_534;
const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "outrigger-ebpf-"));
chmodSync(folder, 0o755);
const pins = join(folder, "pins");
const steer = join(folder, "build/outrigger-steer");

/** Why it cannot be tried here; false = it can, and is built and mounted. */
function whyNot(): string | false {
  const why = whyNoNetwork();
  if (why !== false) return why;
  const quiet = { stdio: "pipe" } as const;
  try {
    const to = `BUILD=${dirname(steer)}`;
    execFileSync("make", ["-s", "-C", join(root, "deploy/ebpf"), to], quiet);
    execFileSync(
      "setpriv",
      [`--reuid=${uid}`, "--clear-groups", process.execPath, "-e", "", mainFile],
      quiet,
    );
    execFileSync("setpriv", [`--reuid=${uid}`, "--clear-groups", "test", "-r", mainFile], quiet);
    mkdirSync(pins);
    // A folder of this test's own: a mount would hide what is in another.
    execFileSync("mount", ["-t", "bpf", "-o", "mode=0700", "bpf", pins], quiet);
    execFileSync(steer, ["--port", "3000", "--pins", pins, "--try"], quiet);
    return false;
  } catch (error) {
    const text = String((error as { stderr?: unknown }).stderr ?? error).trim() || String(error);
    return `EBPF IS NOT TRIED HERE: ${text.split("\n")[0]}`;
  }
}

const skip = whyNot();
if (skip !== false) process.stdout.write(`${skip}\n`);
after(() => {
  if (skip === false) execFileSync("umount", [pins]);
  rmSync(folder, { recursive: true, force: true });
});

describe("a service's port, taken by eBPF", { skip, timeout: 60_000 }, () => {
  const atHost = ["http://10.79.0.1:3000/", "http://[fd79::1]:3000/"] as const;
  let network: Network;
  let env: Readonly<Record<string, string>>;
  let sidecar: ChildProcess;

  const peerAsks = async (...args: readonly string[]) => await network.curl("peer", args);
  const admin = async (path: string) =>
    (await network.curl("host", ["-f", `http://127.0.0.1:9901${path}`])).text;

  async function start(...command: readonly string[]): Promise<void> {
    const [program, args] = network.command("host", ...command);
    sidecar = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...passedOn, ...env } });
    await eventually("the sidecar is ready", async () => (await admin("/readyz")) !== "");
  }
  const steered = [
    steer,
    "--port",
    "3000",
    "--uid",
    String(uid),
    "--pins",
    pins,
    "--",
    process.execPath,
    mainFile,
  ];

  async function refusal(place: "host" | "peer", ...args: readonly string[]): Promise<string> {
    return await network
      .run(place, steer, ...args)
      .catch((error: { stderr?: unknown }) => String(error.stderr));
  }

  before(async () => {
    network = new Network();
    const policy = join(folder, "policy.yaml");
    writeFileSync(policy, "apiVersion: outrigger/v1\nplugins: [transform]\n");
    env = {
      OUTRIGGER_SERVICE: "cart",
      OUTRIGGER_ADMIN: "127.0.0.1:9901",
      OUTRIGGER_UPSTREAM: "http://127.0.0.1:3000",
      OUTRIGGER_POLICY_FILE: policy,
      LOG_LEVEL: "error",
    };
    for (const port of [22, 3000]) await network.do("host", { serve: { host: "::", port } });
    await network.do("host", { echoUdp: { port: 3000 } });
    assert.equal((await peerAsks(atHost[0])).text, "direct at 3000");
    await start(...steered, "run");
  });
  after(async () => {
    await killed(sidecar);
    network.close();
  });

  it("clients of the service's port come to the sidecar, by IPv4 and IPv6, with their addresses", async () => {
    // Connections of their own: one that is kept would hide a sidecar that calls itself.
    for (let time = 0; time < 3; time += 1)
      assert.equal((await peerAsks(atHost[0])).text, "for 10.79.0.2, host 10.79.0.1:3000");
    assert.equal((await peerAsks(atHost[1])).text, "for fd79::2, host [fd79::1]:3000");
  });

  it("loopback, other ports and UDP are as before", async () => {
    assert.equal((await network.curl("host", ["http://127.0.0.1:3000/"])).text, "direct at 3000");
    assert.equal((await peerAsks("http://10.79.0.1:22/")).text, "direct at 22");
    const udp = `const s=require("dgram").createSocket("udp4",m=>{console.log(String(m));s.close()});s.send("by UDP",3000,"10.79.0.1")`;
    assert.equal(await network.run("peer", process.execPath, "-e", udp), "by UDP\n");
  });

  it("the sidecar is no longer root, and sees that nobody comes past it", async () => {
    const status = readFileSync(`/proc/${sidecar.pid}/status`, "latin1");
    assert.match(status, new RegExp(`^Uid:(\\t${uid}){4}$`, "m"));
    assert.match(status, /^CapEff:\t0+$/m);
    assert.match(await admin("/metrics"), /^outrigger_upstream_bypass\{.*state="intercepted".*\} 1$/m);
  });

  it("while it is dead clients are refused; started again, it has the port again", async () => {
    await killed(sidecar);
    for (const url of atHost) assert.equal((await peerAsks(url)).code, 7);
    assert.equal((await network.curl("host", ["http://127.0.0.1:3000/"])).text, "direct at 3000");
    await start(...steered, "run");
    assert.equal((await peerAsks(atHost[0])).text, "for 10.79.0.2, host 10.79.0.1:3000");
  });

  it("what it cannot do it says in one sentence, and mounts nothing", async () => {
    assert.match(
      await refusal("peer", ...steered.slice(1)),
      /outrigger-3000-link is of another network namespace: /,
    );
    assert.match(
      await refusal("host", "--port", "3000", "--pins", folder, "--try"),
      /is no BPF file system: mount -t/,
    );
    assert.match(
      await refusal("host", "--port", "8080", "--pins", pins, "--", "true"),
      /same port 8080: give/,
    );
    assert.match(
      await refusal("host", "--port", "3000;", "--pins", pins, "--try"),
      /must be an integer from 1/,
    );
  });

  it("removed, nothing is left", async () => {
    await network.run("host", steer, "--port", "3000", "--pins", pins, "--remove");
    assert.equal((await peerAsks(atHost[0])).text, "direct at 3000");
  });

  it("others may not write where it pins, and two starts do not take each other's pins", async () => {
    const args = ["--port", "3000", "--pins", pins];
    chmodSync(pins, 0o1777);
    assert.match(await refusal("host", ...args, "--attach"), /others may write to .*: chown root /);
    chmodSync(pins, 0o700);
    const starts = [8081, 8082, 8083].map((to) => refusal("host", ...args, "--to", String(to), "--", "true"));
    assert.deepEqual(await Promise.all(starts), ["", "", ""]);
    assert.deepEqual(
      readdirSync(pins)
        .filter((name) => name.startsWith("outrigger"))
        .toSorted(),
      ["outrigger-3000-link", "outrigger-3000-listeners"],
    );
    assert.equal((await peerAsks(atHost[0])).code, 7);
    await network.run("host", steer, ...args, "--remove");
  });

  it("start.sh leaves the port closed where the sidecar cannot be started", async () => {
    await killed(sidecar);
    env = { ...env, STEER: steer, SERVICE_PORT: "3000", SIDECAR_UID: String(uid) };
    await network.outrigger("host", ["intercept", "install", "--to-port", "8080"], env);
    const taken = Object.entries({ ...env, SIDECAR_PORT: "22", BPF_PINS: pins }).map((pair) =>
      pair.join("="),
    );
    const script = join(root, "deploy/ebpf/start.sh");
    await assert.rejects(
      network.run("host", "env", ...taken, "sh", script, process.execPath, mainFile),
      /port 22 cannot be listened on/,
    );
    assert.equal(await network.run("host", "nft", "list", "tables"), "");
    assert.equal((await peerAsks(atHost[0])).code, 7);
    await network.run("host", steer, "--port", "3000", "--pins", pins, "--remove");
  });

  it("where the kernel does not take it, the start is by nftables", async () => {
    env = { ...env, BPF_PINS: folder };
    await start("sh", join(root, "deploy/ebpf/start.sh"), process.execPath, mainFile);
    assert.match(await network.run("host", "nft", "list", "tables"), /^table inet outrigger-cart$/m);
    assert.equal((await peerAsks(atHost[0])).text, "for 10.79.0.2, host 10.79.0.1:3000");
  });
});
