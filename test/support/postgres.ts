// Starts real PostgreSQL servers for the tests: loopback only, a free port, a temporary folder, no sync to disk.
// Servers that still run when the test process ends are killed. PostgreSQL refuses to run as root: as root, the tests
// run it as user nobody.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { makeCertificate } from "./certificate.ts";
import { freePort } from "./redis.ts";

export interface PostgresServer {
  readonly port: number;
  /** Folder of the server's unix socket. */
  readonly socketFolder: string;
  /** The server's certificate, which is also its own authority. */
  readonly certificateFile: string;
  /** Connection URL, with the password. */
  readonly url: string;
  /** Sends SIGKILL to all its processes; resolves when they are gone. */
  kill(): Promise<void>;
  /** Starts the server again, on the same port, with its data. */
  restart(): Promise<void>;
  /** Sends SIGSTOP to all its processes: sockets stay open, but nothing answers. */
  freeze(): void;
  thaw(): void;
  /** Ends the server and removes its folder. */
  close(): Promise<void>;
}

export const password = "pass%word-of-the-test";

const nobody = 65_534;
const owner = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
const live = new Map<ChildProcess, string>();
process.on("exit", () => {
  for (const [child, folder] of live) {
    if (child.pid !== undefined) signalGroup(child.pid, "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Signals the server and its children, each of which has a process group of its own. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  for (const each of [...childrenOf(pid), pid]) {
    try {
      process.kill(each, signal);
    } catch {
      // The process is gone already.
    }
  }
}

export function childrenOf(pid: number): number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return all.map(Number).filter((each) => parentOf(each) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    // pid (name) state ppid …
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}

/** Debian has one folder for each version, none of them in PATH. */
function binary(name: string): string {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian)
    ? readdirSync(debian).map((version) => join(debian, version, "bin"))
    : [];
  const found = [...(process.env["PATH"] ?? "").split(delimiter), ...versions]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`no ${name} found: apt-get install postgresql`);
  return found;
}

export async function startPostgres(): Promise<PostgresServer> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-postgres-"));
  const data = join(folder, "data");
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, password);
  const { key, cert } = makeCertificate();
  mkdirSync(data);
  const files = { key: join(folder, "key.pem"), cert: join(folder, "cert.pem") };
  writeFileSync(files.key, key);
  writeFileSync(files.cert, cert);
  chmodSync(files.key, 0o600);
  for (const path of [folder, data, passwordFile, files.key, files.cert])
    if (owner.uid !== undefined) chownSync(path, owner.uid, owner.gid);
  const initial = ["-D", data, "-U", "geo", "-A", "scram-sha-256", "--pwfile", passwordFile, "--no-sync"];
  execFileSync(binary("initdb"), [...initial, "--no-locale", "-E", "UTF8"], {
    ...owner,
    cwd: folder,
    stdio: "pipe",
  });
  const port = await freePort();
  const run = (): Promise<ChildProcess> => spawnServer(data, folder, port, files);
  let child = await run();
  return {
    port,
    socketFolder: folder,
    certificateFile: files.cert,
    url: `postgres://geo:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
    kill: () => end(child),
    async restart() {
      await end(child);
      child = await run();
    },
    freeze: () => signalGroup(child.pid as number, "SIGSTOP"),
    thaw: () => signalGroup(child.pid as number, "SIGCONT"),
    async close() {
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves once the server accepts connections. */
async function spawnServer(
  data: string,
  folder: string,
  port: number,
  { key, cert }: { readonly key: string; readonly cert: string },
): Promise<ChildProcess> {
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: folder,
    ssl: "on",
    ssl_key_file: key,
    ssl_cert_file: cert,
    fsync: "off",
    shared_buffers: "4MB",
    max_connections: 30,
    logging_collector: "off",
    jit: "off",
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(binary("postgres"), ["-D", data, ...args], {
    ...owner,
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  live.set(child, folder);
  child.once("exit", () => live.delete(child));
  let output = "";
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`postgres not ready within 20 s: ${output}`)), 20_000);
    child.stderr.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-10_000);
      if (!output.includes("database system is ready to accept connections")) return;
      clearTimeout(timer);
      resolve();
    });
    child.once("exit", () => reject(new Error(`postgres ended before it was ready: ${output}`)));
  });
  child.unref();
  // A pipe is a net.Socket; @types/node says Readable.
  (child.stderr as unknown as { unref(): void }).unref();
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const gone = once(child, "exit");
  signalGroup(child.pid as number, "SIGKILL");
  await gone;
}
