// A sidecar takes over its service's port: real rules, in network namespaces of the test's own, with clients on the
// other end of a cable.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Authority, makeAuthority } from "../plugins/auth/authority.ts";
import { Network, whyNoNetwork } from "../support/network.ts";
import { killed, mainFile, passedOn } from "../support/process.ts";
import { eventually } from "../support/redis.ts";

const skip = whyNoNetwork();
if (skip !== false) process.stdout.write(`${skip}\n`);

const [service, orders] = ["spiffe://shop.example/cart", "spiffe://shop.example/orders"];
const atHost = ["http://10.79.0.1:3000/", "http://[fd79::1]:3000/"];
/** Not the sidecar's, which is root here. */
const asService = ["setpriv", "--reuid=65534", "--clear-groups", "--"];

describe("interception", { skip, timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-intercept-"));
  let network: Network;
  let authority: Authority;
  let env: Readonly<Record<string, string>>;
  /** Of calls out. */
  let egressEnv: Readonly<Record<string, string>>;
  const sidecars = new Set<ChildProcess>();

  function startSidecar(settings: Readonly<Record<string, string>>): void {
    const [program, args] = network.command("host", process.execPath, mainFile, "run");
    const options = { env: { ...passedOn, ...settings } };
    sidecars.add(spawn(program, args, { stdio: ["ignore", "ignore", "inherit"], ...options }));
  }

  const isReady = (port: number) => async () =>
    (await network.curl("host", ["-f", `http://127.0.0.1:${port}/readyz`])).text !== "";

  async function startSidecars(): Promise<void> {
    startSidecar(env);
    startSidecar(egressEnv);
    for (const port of [9901, 9902]) await eventually("the sidecars are ready", isReady(port));
  }

  async function killSidecars(): Promise<void> {
    await Promise.all([...sidecars].map(killed));
    sidecars.clear();
  }

  /** What metrics, `/readyz?verbose` and `check` say of ways past the sidecar. */
  async function bypass(): Promise<readonly [metric: string, ready: string, check: string]> {
    const metrics = (await network.curl("host", ["http://127.0.0.1:9901/metrics"])).text;
    const [, metric = ""] = /^outrigger_upstream_bypass\{.*state="(\w+)".*\} 1$/m.exec(metrics) ?? [];
    const ready = (await network.curl("host", ["http://127.0.0.1:9901/readyz?verbose"])).text;
    const { stdout } = await network.outrigger("host", ["check", "--json"], env);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; state: string; message: string }[] };
    const check = checks.find(({ name }) => name === "bypass");
    return [metric, /^\[\+\] bypass: (\w+): /m.exec(ready)?.[1] ?? "", `${check?.state}: ${check?.message}`];
  }

  const intercept = async (...args: readonly string[]) =>
    await network.outrigger("host", ["intercept", ...args], env);
  const peerAsks = async (...args: readonly string[]) => await network.curl("peer", args);

  before(async () => {
    authority = makeAuthority();
    const [own, theirs] = [
      authority.issue("cart", `URI:${service}`),
      authority.issue("orders", `URI:${orders}`),
    ];
    network = new Network();
    const policy = join(folder, "policy.yaml");
    writeFileSync(policy, "apiVersion: outrigger/v1\nplugins: [transform]\n");
    env = {
      OUTRIGGER_SERVICE: "cart",
      OUTRIGGER_LISTEN: "[::]:8080",
      OUTRIGGER_ADMIN: "127.0.0.1:9901",
      OUTRIGGER_POLICY_FILE: policy,
      OUTRIGGER_UPSTREAM: "http://127.0.0.1:3000",
      LOG_LEVEL: "error",
    };
    egressEnv = {
      ...env,
      OUTRIGGER_LISTEN: "127.0.0.1:8081",
      OUTRIGGER_ADMIN: "127.0.0.1:9902",
      OUTRIGGER_EGRESS: "127.0.0.1:15001",
      OUTRIGGER_EGRESS_TO: `orders.internal=10.79.0.2:80=${orders}`,
      OUTRIGGER_SPIFFE_CERT: own.certFile,
      OUTRIGGER_SPIFFE_KEY: own.keyFile,
      OUTRIGGER_SPIFFE_BUNDLE: authority.certFile,
    };
    await network.do("host", { serve: { host: "::", port: 3000 } });
    await network.do("peer", {
      serve: { host: "10.79.0.2", port: 80 },
      tls: { cert: readFileSync(theirs.certFile, "utf8"), key: readFileSync(theirs.keyFile, "utf8") },
    });
    await startSidecars();
  });
  after(async () => {
    await killSidecars();
    network.close();
    authority.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("without rules whoever reaches the service passes the sidecar by, and status says so", async () => {
    assert.deepEqual(await peerAsks(atHost[0] as string), { code: 0, text: "direct at 3000" });
    const { code, stdout } = await intercept("status");
    assert.equal(code, 1);
    assert.match(stdout, /^nothing of cart is intercepted/);
    assert.deepEqual(await bypass(), [
      "open",
      "open",
      "fail: the service listens at [::]:3000, too: whoever reaches that passes the sidecar by",
    ]);
  });

  it("with them clients of the service's port come to the sidecar, by IPv4 and IPv6, with their addresses", async () => {
    const { code, stdout, stderr } = await intercept("install");
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(
      stdout,
      "connections from outside for port 3000 go to port 8080 (table inet outrigger-cart)\n",
    );
    assert.equal((await peerAsks(atHost[0] as string)).text, "for 10.79.0.2, host 10.79.0.1:3000");
    assert.equal((await peerAsks(atHost[1] as string)).text, "for fd79::2, host [fd79::1]:3000");
  });

  it("loopback stays direct, and so does all else", async () => {
    assert.equal((await network.curl("host", ["http://127.0.0.1:3000/"])).text, "direct at 3000");
    assert.equal((await network.curl("host", ["http://[::1]:3000/"])).text, "direct at 3000");
    await network.do("host", { serve: { host: "::", port: 22 } });
    assert.equal((await peerAsks("http://10.79.0.1:22/")).text, "direct at 22");
    await network.do("host", { echoUdp: { port: 3000 } });
    const udp = `const s=require("dgram").createSocket("udp4",m=>{console.log(String(m));s.close()});s.send("by UDP",3000,"10.79.0.1")`;
    assert.equal(await network.run("peer", process.execPath, "-e", udp), "by UDP\n");
  });

  it("installed again, it is the same; status counts", async () => {
    assert.equal((await intercept("install")).code, 0);
    const before = await network.run("host", "nft", "-s", "list", "ruleset");
    assert.equal((await intercept("install")).code, 0);
    assert.equal(await network.run("host", "nft", "-s", "list", "ruleset"), before);
    await peerAsks(atHost[0] as string, atHost[1] as string);
    const { code, stdout } = await intercept("status", "--json");
    assert.equal(code, 0);
    const { state, port, toPort, inbound } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual(
      { state, port, toPort, inbound },
      {
        state: "installed",
        port: 3000,
        toPort: 8080,
        inbound: { redirected: 2, refused: 0 },
      },
    );
  });

  it("what sends published ports to containers comes after them, whenever it was started", async () => {
    const published =
      "add table ip docker; add chain ip docker nat { type nat hook prerouting priority -100; }; add rule ip docker nat fib daddr type local tcp dport 3000 dnat to 10.79.0.1:22";
    await network.run("host", "nft", published);
    assert.equal((await peerAsks(atHost[0] as string)).text, "for 10.79.0.2, host 10.79.0.1:3000");
    await network.run("host", "nft", "delete table ip docker");
  });

  it("rules that are not in force do not count as there", async () => {
    await network.run("host", "nft", "add table inet outrigger-cart { flags dormant; }");
    assert.match((await intercept("status")).stdout, /changed by somebody/);
    await intercept("install");
    for (const chain of ["inbound", "inbound_rest"])
      await network.run("host", "nft", "flush", "chain", "inet", "outrigger-cart", chain);
    assert.match((await bypass())[2], /^fail: the service listens at \[::\]:3000, too/);
    await intercept("install");
  });

  it("status tells of rules that somebody changed, and of other ports", async () => {
    await network.run("host", "nft", "insert", "rule", "inet", "outrigger-cart", "inbound", "accept");
    const altered = await intercept("status");
    assert.equal(altered.code, 1);
    assert.match(altered.stdout, /changed by somebody/);
    await intercept("install");
    assert.equal((await intercept("status")).code, 0);
    assert.match((await intercept("status", "--port", "3001")).stdout, /the settings say port 3001 to 8080/);
    const other = await intercept("install", "--service", "twin");
    assert.deepEqual([other.code, other.stdout], [1, ""]);
    assert.match(other.stderr, /^port 3000 is taken for the service cart already: [^\n]+\n$/);
    for (const [port, listen, said] of [
      ["4000", "[::]:8080", /^port 8080 is the sidecar's of the service cart, to which these/],
      ["8080", "[::]:9090", /^port 8080 is the sidecar's of the service cart, whose clients/],
      ["5000", "[::]:3000", /^port 3000 is that of the service cart, and closed/],
    ] as const) {
      const more = { OUTRIGGER_UPSTREAM: `http://127.0.0.1:${port}`, OUTRIGGER_LISTEN: listen };
      const args = ["intercept", "install", "--service", "twin"];
      const crossed = await network.outrigger("host", args, { ...env, ...more });
      assert.deepEqual([crossed.code, crossed.stdout], [1, ""]);
      assert.match(crossed.stderr, said);
    }
  });

  it("of two that are installed at once one is told of the other", async () => {
    await intercept("remove");
    // Both have looked before either has changed anything.
    const slow = `#!/bin/sh\ncase "$3" in *'"delete"'*) sleep 0.3;; esac\nPATH=/usr/sbin:/sbin:/usr/bin exec nft "$@"\n`;
    writeFileSync(join(folder, "nft"), slow, { mode: 0o755 });
    const both = ["cart", "twin"].map((name) =>
      network.outrigger("peer", ["intercept", "install", "--service", name], {
        ...env,
        PATH: `${folder}:${process.env["PATH"]}`,
      }),
    );
    const said = (await Promise.all(both)).map(({ code, stderr }) => `${code} ${stderr}`).join("");
    assert.match(said, /1 port 3000 is taken for the service (?:cart|twin) already/);
    await network.run("peer", "nft", "flush", "ruleset");
    await intercept("install");
  });

  it("a pod on its node's network is refused", async () => {
    const { code, stderr } = await intercept("install", "--node-address", "10.79.0.1");
    assert.equal(code, 1);
    assert.match(stderr, /^this pod is on its node's network \(10\.79\.0\.1 is [^\n]+\n$/);
  });

  it("what is only passed on to another machine is left alone", async () => {
    await network.run("host", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    await network.run("peer", "ip", "route", "add", "10.82.0.0/24", "via", "10.79.0.1");
    // Comes to the host, which knows no way on: the sidecar must not answer for who is not there.
    assert.equal((await peerAsks("http://10.82.0.9:3000/")).code, 7);
  });

  it("a connection from before the rules does not go on past the sidecar", async () => {
    await intercept("remove");
    // As on most hosts: connections are tracked already, and NAT looks at their first packet alone.
    const firewall =
      "add table inet firewall; add chain inet firewall input { type filter hook input priority 0; }; add rule inet firewall input ct state established accept";
    await network.run("host", "nft", firewall);
    const old = `
      const socket = require("net").connect(3000, "10.79.0.1");
      const get = () => socket.write("GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n");
      socket.on("data", (text) => console.log(String(text).split("\\r\\n").at(-1)));
      socket.on("error", (error) => console.log(error.code));
      socket.once("data", () => process.stdin.once("data", get));
      socket.on("close", () => process.exit());
      get();`;
    const [program, args] = network.command("peer", process.execPath, "-e", old);
    const client = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    let said = "";
    client.stdout.on("data", (text: Buffer) => (said += text.toString()));
    await eventually("it was served", () => Promise.resolve(said.includes("direct")));
    await intercept("install");
    client.stdin.write("again");
    await once(client, "exit");
    assert.match(said, /^direct at 3000\nECONNRESET\n$/);
    await network.run("host", "nft", "delete table inet firewall");
  });

  it("outbound calls of others go to the egress listener, by their Host; the sidecar's own pass", async () => {
    const args = ["intercept", "install", "--to-port", "8080", "--egress-ports", "80", "--sidecar-uid", "0"];
    const installed = await network.outrigger("host", args, egressEnv);
    assert.equal(installed.code, 0);
    assert.match(installed.stdout, /calls of everybody but user 0 to ports 80 elsewhere go to port 15001/);
    // Nobody has that address: the sidecar knows where orders.internal is.
    const there = ["--resolve", "orders.internal:80:10.79.0.9"];
    const called = await network.curl("host", [...there, "http://orders.internal/"], asService);
    assert.deepEqual(called, { code: 0, text: "for 10.79.0.1, host orders.internal" });
    const stranger = await network.curl(
      "host",
      ["-o", "/dev/null", "-w", "%{http_code}", "http://10.79.0.9/"],
      asService,
    );
    assert.equal(stranger.text, "404");
    assert.equal((await network.curl("host", ["-k", "https://10.79.0.2:80/"])).text, "direct at 80");
    assert.equal((await intercept("status")).code, 0);
  });

  it("while the sidecar is dead both are refused, and nobody comes past it", async () => {
    await killSidecars();
    for (const url of atHost) assert.equal((await peerAsks(url)).code, 7);
    const there = ["--resolve", "orders.internal:80:10.79.0.2", "http://orders.internal/"];
    assert.equal((await network.curl("host", there, asService)).code, 7);
    startSidecar(env);
    await eventually("it is back", isReady(9901));
    assert.deepEqual(await bypass(), [
      "intercepted",
      "intercepted",
      "ok: what comes from outside for [::]:3000 is sent to the sidecar",
    ]);
    assert.equal((await peerAsks(atHost[0] as string)).text, "for 10.79.0.2, host 10.79.0.1:3000");
  });

  it("removed, nothing is left", async () => {
    const removed = await intercept("remove", "--json");
    assert.deepEqual(JSON.parse(removed.stdout), { state: "absent", service: "cart", removed: true });
    assert.equal(await network.run("host", "nft", "list", "ruleset"), "");
    assert.deepEqual(await intercept("remove"), {
      code: 0,
      signal: null,
      stdout: "nothing of cart was intercepted\n",
      stderr: "",
    });
    assert.equal((await peerAsks(atHost[0] as string)).text, "direct at 3000");
  });

  it("without NET_ADMIN it says what to do", async () => {
    const bare = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"];
    const [program, args] = network.command(
      "host",
      ...bare,
      process.execPath,
      mainFile,
      "intercept",
      "install",
    );
    const child = spawn(program, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...passedOn, ...env },
    });
    let said = "";
    child.stderr?.on("data", (text: Buffer) => (said += text.toString()));
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 1);
    assert.match(said, /^this process lacks CAP_NET_ADMIN: run it as root; [^\n]+\n$/);
  });
});
