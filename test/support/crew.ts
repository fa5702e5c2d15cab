// Starts a sidecar with several workers, each a process of its own: `await startCrew({...})`.
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Finished, mainFile, startNode, type Started } from "./process.ts";

export type Line = Readonly<Record<string, unknown>>;

export interface TestCrew extends Started {
  readonly port: number;
  readonly url: string;
  readonly adminUrl: string;
  readonly folder: string;
  /** All log lines so far, parsed. */
  lines(): Line[];
  /** Resolves with all matching lines once there are `count`. */
  until(count: number, matches: (line: Line) => boolean): Promise<Line[]>;
  /** Latest process id of each worker that has served so far, by worker number. */
  pids(): Map<number, number>;
  setPolicy(policy: Readonly<Record<string, unknown>>): void;
  /** Sum of all series of /metrics that begin with this text. */
  metric(series: string): Promise<number>;
  ready(): Promise<number>;
  /** Sends SIGTERM and waits for the end. */
  stop(): Promise<Finished>;
}

export interface CrewOptions {
  readonly workers?: number;
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly upstream: string;
  readonly env?: Readonly<Record<string, string>>;
}

export async function startService(handler: http.RequestListener): Promise<http.Server & { url: string }> {
  const service = http.createServer(handler);
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  return Object.assign(service, { url: `http://127.0.0.1:${(service.address() as AddressInfo).port}` });
}

export async function startCrew(options: CrewOptions): Promise<TestCrew> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-crew-"));
  const file = join(folder, "policy.json");
  const setPolicy = (policy: Readonly<Record<string, unknown>>): void =>
    writeFileSync(file, JSON.stringify({ apiVersion: "outrigger/v1", ...policy }));
  if (options.policy !== undefined) setPolicy(options.policy);
  const started = startNode([mainFile, "run"], {
    OUTRIGGER_WORKERS: String(options.workers ?? 2),
    OUTRIGGER_LISTEN: "127.0.0.1:0",
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: options.upstream,
    ...(options.policy === undefined ? {} : { OUTRIGGER_POLICY_FILE: file }),
    ...options.env,
  });
  void started.end.then(() => rmSync(folder, { recursive: true, force: true }));
  const lines: Line[] = [];
  let unread = "";
  started.child.stdout.on("data", (chunk: Buffer) => {
    const complete = (unread + chunk.toString()).split("\n");
    unread = complete.pop() ?? "";
    for (const line of complete) if (line !== "") lines.push(JSON.parse(line) as Line);
  });
  const until = async (count: number, matches: (line: Line) => boolean): Promise<Line[]> => {
    const signal = AbortSignal.timeout(15_000);
    const said = (): string => lines.map((line) => JSON.stringify(line)).join("\n");
    for (;;) {
      const found = lines.filter(matches);
      if (found.length >= count) return found;
      if (started.child.exitCode !== null) throw new Error(`ended: ${said()}`);
      if (signal.aborted) throw new Error(`not within 15 s: ${said()}`);
      const more = once(started.child.stdout, "data", { signal }).catch(() => undefined);
      await Promise.race([more, started.end]);
    }
  };
  await started.said('"msg":"listening"');
  const [line] = await until(1, ({ msg }) => msg === "listening");
  const { address, admin } = line as { address: string; admin: string };
  const adminUrl = `http://${admin}`;
  return {
    ...started,
    port: Number(address.split(":").at(-1)),
    url: `http://${address}`,
    adminUrl,
    folder,
    lines: () => [...lines],
    until,
    pids: () =>
      new Map(
        lines.flatMap(({ msg, number, pid }) =>
          msg === "worker is serving" ? [[number as number, pid as number] as const] : [],
        ),
      ),
    setPolicy,
    async metric(series) {
      const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
      const found = metrics.split("\n").filter((each) => each.startsWith(series));
      return found.reduce((sum, each) => sum + Number(each.slice(each.lastIndexOf(" "))), 0);
    },
    ready: async () => (await fetch(`${adminUrl}/readyz`)).status,
    stop() {
      started.child.kill("SIGTERM");
      return started.end;
    },
  };
}

/** Whether the process is alive; a zombie (killed, not yet waited for) is not. */
export function lives(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** A client with its own keep-alive connection. */
export class Client {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  get(
    path = "/",
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ status: number; fields: http.IncomingHttpHeaders; body: string }> {
    return new Promise((resolve, reject) => {
      const request = http.get(this.#url + path, { agent: this.#agent, headers }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (body += chunk));
        response.once("end", () =>
          resolve({ status: response.statusCode ?? 0, fields: response.headers, body }),
        );
        response.once("error", reject);
      });
      request.once("error", reject);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Opens clients with one connection each. The workers get connections in turn, so that all workers are reached. */
export async function clientsOf(crew: TestCrew, count = 24): Promise<Client[]> {
  const clients = Array.from({ length: count }, () => new Client(crew.url));
  for (const client of clients) await client.get("/");
  return clients;
}
