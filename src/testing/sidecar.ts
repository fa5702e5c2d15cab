// Starts a real sidecar in this process, on free loopback ports, in front of a real upstream: `await
// startSidecar({...})`.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { Writable } from "node:stream";
import { createSidecar } from "../app/embedded.ts";
import type { SidecarOverrides } from "../app/sidecar.ts";
import type { Environment } from "../config/config.ts";
import type { Clock, PluginDefinition } from "../plugin-api/contract.ts";

export interface TestSidecarOptions {
  /** The plugins under test. Policies can name them beside the built-in ones. */
  readonly plugins?: readonly PluginDefinition[];
  /** Policy document; `apiVersion` is filled in. Absent with `redisUrl`: the policy comes from Redis alone. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** The service: a handler, for which a server is started here, or the URL of a running server. */
  readonly upstream: http.RequestListener | string;
  readonly redisUrl?: string;
  /** Secrets by name, without `OUTRIGGER_`, as for `setUpPlugin`: for example `SECRET_GEO_DB` with a database's URL. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Further settings. */
  readonly env?: Readonly<Record<string, string>>;
  /** Replaces the built-in plugins. */
  readonly registry?: readonly PluginDefinition[];
  readonly clock?: Clock;
  readonly middleware?: SidecarOverrides["middleware"];
}

export interface TestSidecar extends AsyncDisposable {
  readonly port: number;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly adminUrl: string;
  /** The service's server, when it was started here. */
  readonly service: http.Server | undefined;
  /**
   * All log lines so far, parsed: access lines have `msg: "request"`. Lines that are not JSON (`clf`) appear as `{ text
   * }`.
   */
  readonly lines: Record<string, unknown>[];
  /** Resolves with the first line, past or future, for which `matches` returns true. */
  line(matches: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  /** Rewrites the policy file, as an editor would. */
  setPolicy(policy: Readonly<Record<string, unknown>>): void;
  /** The text of /metrics. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts the sidecar. Rejects when the settings are refused, and then leaves nothing running. A refused policy does not
 * reject: `lines` reports it, and requests get 503.
 */
export async function startSidecar(options: TestSidecarOptions): Promise<TestSidecar> {
  const { url: upstream, service } = await upstreamOf(options.upstream);
  const close = (): void => {
    service?.closeAllConnections();
    service?.close();
  };
  try {
    const log = new LogLines();
    const { policy, plugins, registry, clock, middleware } = options;
    const sidecar = await createSidecar(
      {
        upstream,
        env: environmentOf(options),
        log,
        ...(policy === undefined ? {} : { policy }),
        ...(plugins === undefined ? {} : { plugins }),
      },
      {
        ...(registry === undefined ? {} : { registry }),
        ...(clock === undefined ? {} : { clock }),
        ...(middleware === undefined ? {} : { middleware }),
      },
    );
    const stop = async (): Promise<void> => {
      await sidecar.stop();
      close();
    };
    return {
      ...sidecar,
      port: Number(new URL(sidecar.url).port),
      service,
      ...logOf(log),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function logOf(log: LogLines): Pick<TestSidecar, "lines" | "line"> {
  return { lines: log.lines, line: (matches) => log.next(matches) };
}

function environmentOf(options: TestSidecarOptions): Environment {
  return {
    ...(options.redisUrl === undefined ? {} : { REDIS_URL: options.redisUrl }),
    ...boundSecrets(options),
    ...secretSettings(options),
    ...options.env,
  };
}

function secretSettings({ secrets = {} }: TestSidecarOptions): Record<string, string> {
  return Object.fromEntries(Object.entries(secrets).map(([name, value]) => [`OUTRIGGER_${name}`, value]));
}

/** Binds every secret to every loopback host that the policy names, because most tests are not about bindings. */
function boundSecrets(options: TestSidecarOptions): Record<string, string> {
  const { policy } = options;
  const env = { ...secretSettings(options), ...options.env };
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

/** Collects NDJSON lines. */
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
      const line = text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : { text };
      this.lines.push(line);
      for (const look of this.#waiting) look(line);
    }
    done();
  }
}
