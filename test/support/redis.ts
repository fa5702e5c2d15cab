// Starts real Redis servers for the tests: standalone, a three-master Cluster, a Sentinel group. Loopback only, free
// ports, temporary folders, nothing kept on disk. Servers that still run when the test process ends are killed.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { Cluster, Redis } from "ioredis";

export interface RedisServer {
  /** `redis://127.0.0.1:<port>` */
  readonly url: string;
  readonly port: number;
  /** A plain ioredis client for the test itself, made when first read; reconnects every 50 ms. */
  readonly cli: Redis;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** Orderly shutdown; resolves when the process is gone. */
  stop(): Promise<void>;
  /** Starts the server again, empty, on the same port (Cluster and Sentinel nodes keep their identity). */
  restart(): Promise<void>;
  /** SIGSTOP: the sockets stay open, but nothing answers. */
  freeze(): void;
  thaw(): void;
  /** Ends client and server and removes the folder. */
  close(): Promise<void>;
}

const live = new Set<ChildProcess>();
const folders = new Set<string>();

function reap(): void {
  for (const child of live) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
process.on("exit", reap);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    reap();
    // If nothing else listens for the signal, it has its default effect, as it would without this file.
    if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Path of the server binary: OUTRIGGER_TEST_REDIS_SERVER, else redis-server or valkey-server on PATH. */
export function findRedisServer(): string {
  const named = process.env["OUTRIGGER_TEST_REDIS_SERVER"];
  const candidates = named
    ? [named]
    : ["redis-server", "valkey-server"].flatMap((name) =>
        (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, name)),
      );
  const found = candidates.find(isExecutable);
  if (found === undefined) {
    throw new Error(
      "no redis-server found: install Redis 7 or Valkey (apt install redis-server) or set OUTRIGGER_TEST_REDIS_SERVER",
    );
  }
  return found;
}

/** Finds a free port below the ephemeral range: no outgoing connection takes it while its server is down. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (port === 10_080) continue; // the one port of these that fetch refuses (Fetch, "bad port")
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    probe.close();
    await once(probe, "close");
    return port;
  }
  throw new Error("no free port found in 100 attempts");
}

/** Polls until the answer is true; for states that a server reports in no other way. */
export async function eventually(
  what: string,
  ask: () => Promise<boolean> | boolean,
  limitMs = 15_000,
): Promise<void> {
  const end = Date.now() + limitMs;
  for (;;) {
    if (await ask()) return;
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Starts the binary and resolves once it reports that it is ready. If it never is, its output goes into the error. */
async function spawnServer(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(findRedisServer(), args, { stdio: ["ignore", "pipe", "pipe"] });
  live.add(child);
  child.once("exit", () => live.delete(child));
  let output = "";
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`redis-server not ready within 10 s: ${output}`));
    }, 10_000);
    const read = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-10_000);
      if (!/Ready to accept connections|Sentinel ID is/u.test(output)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("error", reject);
    child.once("exit", () => {
      clearTimeout(timer);
      reject(new Error(`redis-server ended before it was ready: ${output}`));
    });
  });
  child.unref();
  for (const stream of [child.stdout, child.stderr]) {
    stream.removeAllListeners("data");
    stream.resume();
    (stream as unknown as { unref(): void }).unref(); // a pipe is a net.Socket; @types/node says Readable
  }
  return child;
}

async function end(child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const gone = once(child, "exit");
  child.kill(signal);
  if (signal === "SIGTERM") child.kill("SIGCONT"); // a frozen process would not handle SIGTERM
  await gone;
}

function freezeProcess(pid: number): void {
  process.kill(pid, "SIGSTOP");
  // SIGSTOP takes effect when the process is next scheduled: wait for state T, so that it answers nothing more.
  for (let look = 0; look < 100_000; look++) {
    try {
      if (/\) T/u.test(readFileSync(`/proc/${pid}/stat`, "latin1"))) return;
    } catch {
      return; // no /proc on this system
    }
  }
}

interface Launch {
  readonly port: number;
  readonly args: readonly string[];
  readonly folder: string;
}

async function launch({ port, args, folder }: Launch): Promise<RedisServer> {
  let child = await spawnServer(args);
  let cli: Redis | undefined;
  const server: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    port,
    get cli() {
      if (cli === undefined) {
        cli = new Redis({ port, host: "127.0.0.1", protocol: 2, retryStrategy: () => 50 });
        cli.on("error", () => {}); // a test that kills the server expects these
      }
      return cli;
    },
    kill: () => end(child, "SIGKILL"),
    stop: () => end(child, "SIGTERM"),
    async restart() {
      await end(child, "SIGKILL");
      child = await spawnServer(args);
    },
    freeze: () => freezeProcess(child.pid as number),
    thaw: () => void child.kill("SIGCONT"),
    async close() {
      cli?.disconnect();
      await end(child, "SIGKILL");
      rmSync(folder, { recursive: true, force: true });
      folders.delete(folder);
    },
  };
  return server;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-redis-"));
  folders.add(folder);
  return folder;
}

/**
 * A standalone server without persistence.
 * @param options.args further configuration, e.g. `["--requirepass", "secret"]`
 */
export async function startRedis(
  options: { port?: number; args?: readonly string[] } = {},
): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    const folder = temporaryFolder();
    const args = [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--dir",
      folder,
      "--save",
      "",
      "--appendonly",
      "no",
    ];
    args.push("--repl-diskless-sync-delay", "0", ...(options.args ?? []));
    try {
      return await launch({ port, args, folder });
    } catch (error) {
      // Another process took the port between the probe and the start.
      if (options.port !== undefined || attempt === 5 || !/already in use/u.test(String(error))) throw error;
    }
  }
}

export interface RedisCluster {
  /** `redis://127.0.0.1:a,127.0.0.1:b,127.0.0.1:c` */
  readonly url: string;
  /** The masters, in slot order; nodes added later follow. */
  readonly nodes: readonly RedisServer[];
  readonly cli: Cluster;
  /** Starts a replica of the node, ready to take over when the node dies (2-4 s). */
  addReplica(of: RedisServer): Promise<RedisServer>;
  /** Starts one more empty node and makes it a master with the slots of `from` (which must hold no keys in them). */
  moveSlotsToNewNode(from: RedisServer): Promise<RedisServer>;
  close(): Promise<void>;
}

async function startClusterNode(): Promise<RedisServer> {
  const busPort = await freePort();
  return startRedis({
    args: ["--cluster-enabled", "yes", "--cluster-port", String(busPort), "--cluster-node-timeout", "2000"],
  });
}

async function meet(node: RedisServer, other: RedisServer): Promise<void> {
  const [, busPort] = await other.cli.config("GET", "cluster-port");
  await node.cli.call("CLUSTER", "MEET", "127.0.0.1", String(other.port), String(busPort));
}

async function clusterSettled(nodes: readonly RedisServer[]): Promise<void> {
  for (const node of nodes) {
    await eventually("cluster state ok on every node", async () => {
      const info = String(await node.cli.call("CLUSTER", "INFO"));
      return info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${nodes.length}`);
    });
  }
}

/** Three masters with all slots, ready to use. */
export async function startCluster(): Promise<RedisCluster> {
  const nodes = await Promise.all([startClusterNode(), startClusterNode(), startClusterNode()]);
  const ranges = [
    [0, 5460],
    [5461, 10922],
    [10923, 16383],
  ] as const;
  for (const [index, node] of nodes.entries()) {
    const [first, last] = ranges[index] as (typeof ranges)[number];
    await node.cli.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
    await node.cli.call("CLUSTER", "ADDSLOTSRANGE", first, last);
    if (index > 0) await meet(nodes[0], node);
  }
  await clusterSettled(nodes);
  const join = async (known: RedisServer): Promise<RedisServer> => {
    const added = await startClusterNode();
    await meet(known, added);
    nodes.push(added);
    await clusterSettled(nodes);
    return added;
  };
  let cli: Cluster | undefined;
  return {
    url: `redis://${nodes.map((node) => `127.0.0.1:${node.port}`).join(",")}`,
    nodes,
    get cli() {
      if (cli === undefined) {
        cli = new Cluster(nodes.map((node) => ({ host: "127.0.0.1", port: node.port })));
        cli.on("error", () => {});
      }
      return cli;
    },
    async addReplica(of) {
      const added = await join(of);
      await added.cli.call("CLUSTER", "REPLICATE", String(await of.cli.call("CLUSTER", "MYID")));
      await eventually("the replica follows, and everybody knows", async () => {
        const seen = await Promise.all(nodes.map((node) => node.cli.call("CLUSTER", "NODES")));
        const isReplica = new RegExp(`:${added.port}@\\d+ (myself,)?slave `, "u");
        return (
          seen.every((text) => isReplica.test(String(text))) &&
          (await added.cli.info("replication")).includes("master_link_status:up")
        );
      });
      return added;
    },
    async moveSlotsToNewNode(from) {
      const added = await join(from);
      const owner = String(await from.cli.call("CLUSTER", "MYID"));
      const heir = String(await added.cli.call("CLUSTER", "MYID"));
      const owned = async (node: RedisServer): Promise<[number, number, [string, number, string]][]> =>
        ((await node.cli.call("CLUSTER", "SLOTS")) as [number, number, [string, number, string]][]).filter(
          ([, , [, , id]]) => id === owner,
        );
      const ranges = await owned(from);
      // Takes the highest epoch: a node that hears two claims believes the higher one. No keys, so no MIGRATE.
      await added.cli.call("CLUSTER", "BUMPEPOCH");
      for (const node of [added, ...nodes.filter((node) => node !== added)]) {
        const pipeline = node.cli.pipeline();
        for (const [first, last] of ranges) {
          for (let slot = first; slot <= last; slot++)
            pipeline.call("CLUSTER", "SETSLOT", slot, "NODE", heir);
        }
        await pipeline.exec(); // a node that learned of it by gossip may have become a replica and refuse
      }
      for (const node of nodes) {
        await eventually("every node knows the new owner", async () => (await owned(node)).length === 0);
      }
      await clusterSettled(nodes);
      return added;
    },
    async close() {
      cli?.disconnect();
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}

export interface RedisSentinel {
  /** `redis+sentinel://127.0.0.1:a,…/outrigger-test` */
  readonly url: string;
  readonly masterName: string;
  /** The two data nodes; the first one is the master at the start. */
  readonly nodes: readonly [RedisServer, RedisServer];
  readonly sentinels: readonly RedisServer[];
  /** The node that the first sentinel calls master now. */
  master(): Promise<RedisServer>;
  /** Makes the replica the master in an orderly way (1-3 s). The old master still accepts writes for about 8 s. */
  failover(): Promise<void>;
  /** Resolves once the sentinels report `node` as the master and it is one (after a `kill()` of the other). */
  promoted(node: RedisServer): Promise<void>;
  close(): Promise<void>;
}

async function startSentinelNode(name: string, masterPort: number, quorum: number): Promise<RedisServer> {
  const port = await freePort();
  const folder = temporaryFolder();
  const configuration = join(folder, "sentinel.conf");
  const settings = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${folder}`,
    `sentinel monitor ${name} 127.0.0.1 ${masterPort} ${quorum}`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 2000`,
  ];
  writeFileSync(configuration, `${settings.join("\n")}\n`);
  return launch({ port, args: [configuration, "--sentinel"], folder });
}

/** One master, one replica, and `sentinels` (1 or 3) watching them with quick failover. */
export async function startSentinel(options: { sentinels?: 1 | 3 } = {}): Promise<RedisSentinel> {
  const masterName = "outrigger-test";
  const first = await startRedis();
  const second = await startRedis({ args: ["--replicaof", "127.0.0.1", String(first.port)] });
  const follows = async (node: RedisServer): Promise<boolean> =>
    (await node.cli.info("replication")).includes("master_link_status:up");
  await eventually("the replica follows its master", () => follows(second));
  const count = options.sentinels ?? 1;
  const quorum = count === 1 ? 1 : 2;
  const sentinels = await Promise.all(
    Array.from({ length: count }, () => startSentinelNode(masterName, first.port, quorum)),
  );
  for (const sentinel of sentinels) {
    await eventually("the sentinels know the replica and each other", async () => {
      const facts = (await sentinel.cli.call("SENTINEL", "MASTER", masterName)) as string[];
      const field = (name: string): string | undefined => facts[facts.indexOf(name) + 1];
      return field("num-slaves") === "1" && field("num-other-sentinels") === String(count - 1);
    });
  }
  const lead = sentinels[0] as RedisServer;
  const master = async (): Promise<RedisServer> => {
    const [, port] = (await lead.cli.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName)) as string[];
    return Number(port) === first.port ? first : second;
  };
  const promoted = async (node: RedisServer): Promise<void> => {
    await eventually("the sentinels promoted the node", async () => {
      if ((await master()) !== node) return false;
      return (await node.cli.info("replication")).includes("role:master");
    });
  };
  return {
    url: `redis+sentinel://${sentinels.map((node) => `127.0.0.1:${node.port}`).join(",")}/${masterName}`,
    masterName,
    nodes: [first, second],
    sentinels,
    master,
    promoted,
    async failover() {
      const before = await master();
      await eventually("the sentinels accept the failover", () =>
        lead.cli.call("SENTINEL", "FAILOVER", masterName).then(
          () => true,
          () => false, // NOGOODSLAVE until they have heard from the replica
        ),
      );
      await promoted(before === first ? second : first);
    },
    async close() {
      await Promise.all([...sentinels, first, second].map((node) => node.close()));
    },
  };
}
