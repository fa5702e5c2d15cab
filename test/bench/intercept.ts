// Measures what redirection to the sidecar costs a client's connection: none, by nftables, by eBPF. Connections are
// opened, used once and reset (ports in TIME-WAIT would come up again), in network namespaces of their own. The ways
// take turns, so that other work on the machine hits them all.
// node test/bench/intercept.ts [rounds]
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Network, whyNoNetwork } from "../support/network.ts";
import { killed } from "../support/process.ts";

const rounds = Number(process.argv[2] ?? 15);
const connections = 300;

/**
 * Listens as the sidecar does: on the passed descriptor, or on port 8080. It uses node:net, because Node's work on
 * requests is not measured here.
 */
const server = `
  const passed = process.env.LISTEN_FDS === "1" ? { fd: 3 } : { host: "::", port: 8080 };
  require("net").createServer((socket) => socket.on("error", () => {}).once("data", () => socket.write("x"))).listen(passed, 4096, () => console.log("up"));`;
const client = `
  const net = require("net");
  const one = (port) => new Promise((done, failed) => {
    const socket = net.connect({ host: "10.79.0.1", port });
    socket.once("error", failed).once("close", done).once("data", () => socket.resetAndDestroy()).write("x");
  });
  process.on("message", async (port) => {
    const from = process.hrtime.bigint();
    for (let at = 0; at < ${connections}; at += 1) await one(port);
    process.send(Number(process.hrtime.bigint() - from) / ${connections} / 1000);
  });`;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

const why = whyNoNetwork();
if (why !== false) throw new Error(why);
const folder = mkdtempSync(join(tmpdir(), "outrigger-bench-"));
const pins = join(folder, "pins");
const steer = join(folder, "build/outrigger-steer");
mkdirSync(pins);
execFileSync("make", [
  "-s",
  "-C",
  join(import.meta.dirname, "../../deploy/ebpf"),
  `BUILD=${join(folder, "build")}`,
]);
execFileSync("mount", ["-t", "bpf", "bpf", pins]);
const network = new Network();
const flags = ["--port", "3000", "--uid", "65534", "--pins", pins];
const node = [process.execPath, "-e", server];
/** Runs the service as another user, also with eBPF. */
const asOther = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", ...node];
const [program, args] = network.command("peer", process.execPath, "-e", client);
const asking = spawn(program, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });

/** @returns microseconds per connection */
async function ask(port: number): Promise<number> {
  asking.send(port);
  const [took] = (await once(asking, "message")) as [number];
  return took;
}

async function withServer(command: readonly string[], port: number): Promise<number> {
  const [name, rest] = network.command("host", ...command);
  const serving = spawn(name, rest, { stdio: ["ignore", "pipe", "inherit"] });
  await once(serving.stdout, "data");
  try {
    await ask(port);
    return await ask(port);
  } finally {
    await killed(serving);
  }
}

const ways = {
  "the sidecar's own port": () => withServer(asOther, 8080),
  "by nftables": async () => {
    await network.outrigger("host", ["intercept", "install"], { OUTRIGGER_LISTEN: "[::]:8080" });
    const took = await withServer(asOther, 3000);
    await network.outrigger("host", ["intercept", "remove"]);
    return took;
  },
  "by eBPF": async () => {
    const took = await withServer([steer, ...flags, "--", ...node], 3000);
    await network.run("host", steer, "--port", "3000", "--pins", pins, "--remove");
    return took;
  },
};

try {
  const took = Object.keys(ways).map((way) => ({ way, times: [] as number[] }));
  for (let round = 0; round < rounds; round += 1) {
    // Each way comes first equally often.
    const order = took.map((_, at) => took[(at + round) % took.length] as (typeof took)[number]);
    for (const { way, times } of order) times.push(await ways[way as keyof typeof ways]());
  }
  // Other work only adds to a figure: the minimum says most.
  const direct = Math.min(...(took[0]?.times ?? []));
  for (const { way, times } of took) {
    const least = Math.min(...times);
    const more = (least - direct).toFixed(1);
    process.stdout.write(
      `${way.padEnd(24)} ${least.toFixed(1)} us a connection (median ${median(times).toFixed(1)}), ${more} more than direct\n`,
    );
  }
} finally {
  await killed(asking);
  network.close();
  execFileSync("umount", [pins]);
  rmSync(folder, { recursive: true });
}
