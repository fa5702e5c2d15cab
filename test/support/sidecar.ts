// A real sidecar in this process, on free loopback ports, in front of a real upstream: `await startSidecar({...})`.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { loadConfig } from "../../src/app/environment.ts";
import type { Clock, PluginDefinition } from "../../src/plugin-api/contract.ts";
import { startSidecar as start } from "../../src/app/sidecar.ts";

export interface TestSidecarOptions {
  /** Policy document; `apiVersion` is filled in. Absent with `redisUrl`: the policy comes from Redis alone. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** The service: a handler for a server made here, or the URL of one that stands already. */
  readonly upstream: http.RequestListener | string;
  readonly redisUrl?: string;
  /** Further settings. */
  readonly env?: Readonly<Record<string, string>>;
  readonly registry?: readonly PluginDefinition[];
  readonly clock?: Clock;
}

export interface TestSidecar {
  readonly port: number;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly adminUrl: string;
  /** The service's server, when it was made here. */
  readonly service: http.Server | undefined;
  /** All log lines so far, parsed: access lines have `msg: "request"`. */
  readonly lines: Record<string, unknown>[];
  /** Resolves with the first line, past or future, that the test says yes to. */
  line(matches: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  /** Writes the policy file anew, as an editor would. */
  setPolicy(policy: Readonly<Record<string, unknown>>): void;
  /** The text of /metrics. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

export async function startSidecar(options: TestSidecarOptions): Promise<TestSidecar> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  const policyFile = join(folder, "policy.json");
  const setPolicy = (policy: Readonly<Record<string, unknown>>): void =>
    writeFileSync(policyFile, JSON.stringify({ apiVersion: "outrigger/v1", ...policy }));
  if (options.policy !== undefined) setPolicy(options.policy);
  const { url: upstreamUrl, service } = await upstreamOf(options.upstream);
  const log = new LogLines();
  const config = loadConfig({
    OUTRIGGER_LISTEN: "127.0.0.1:0",
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: upstreamUrl,
    OUTRIGGER_DRAIN_MS: "1000",
    ...(options.policy === undefined ? {} : { OUTRIGGER_POLICY_FILE: policyFile }),
    ...(options.redisUrl === undefined ? {} : { REDIS_URL: options.redisUrl }),
    ...boundSecrets(options),
    ...options.env,
  });
  const sidecar = await start(config, {
    output: log,
    ...(options.registry === undefined ? {} : { registry: options.registry }),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
  const { port } = sidecar.address as AddressInfo;
  const adminUrl = `http://127.0.0.1:${(sidecar.adminAddress as AddressInfo).port}`;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    adminUrl,
    service,
    lines: log.lines,
    line: (matches) => log.next(matches),
    setPolicy,
    metrics: () => sidecar.metrics(),
    async stop() {
      await sidecar.stop();
      service?.closeAllConnections();
      service?.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Binds every secret to every loopback host that the policy names: what tests are about is something else, mostly. */
function boundSecrets({ policy, env = {} }: TestSidecarOptions): Record<string, string> {
  const names = Object.keys(env).filter((name) => /^OUTRIGGER_SECRET_(?!HOSTS$)/.test(name));
  const hosts = new Set(JSON.stringify(policy ?? {}).match(/(?<=https?:\/\/)127\.0\.0\.1:\d+/g));
  if (names.length === 0 || hosts.size === 0) return {};
  const bound = names.map((name) => `${name.slice("OUTRIGGER_".length)}=${[...hosts].join(",")}`);
  return { OUTRIGGER_SECRET_HOSTS: bound.join(";") };
}

async function upstreamOf(
  upstream: TestSidecarOptions["upstream"],
): Promise<{ url: string; service: http.Server | undefined }> {
  if (typeof upstream === "string") return { url: upstream, service: undefined };
  const service = http.createServer(upstream);
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(service.address() as AddressInfo).port}`, service };
}

/** Collects NDJSON. */
class LogLines extends Writable {
  readonly lines: Record<string, unknown>[] = [];
  #rest = "";
  readonly #waiting = new Set<(line: Record<string, unknown>) => void>();

  next(matches: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    const past = this.lines.find(matches);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve) => {
      const look = (line: Record<string, unknown>): void => {
        if (!matches(line)) return;
        this.#waiting.delete(look);
        resolve(line);
      };
      this.#waiting.add(look);
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const texts = (this.#rest + chunk.toString()).split("\n");
    this.#rest = texts.pop() ?? "";
    for (const text of texts) {
      const line = JSON.parse(text) as Record<string, unknown>;
      this.lines.push(line);
      for (const look of this.#waiting) look(line);
    }
    done();
  }
}
