// Whether the service itself is ready, for a readiness that follows it: one bounded request at a time, on a connection
// of its own, past plugins and pools.
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { Check } from "../admin/admin.ts";
import type { Config } from "../config/config.ts";
import { targetOf } from "../routing/compile-policy.ts";
import type { Logger } from "../plugin-api/telemetry.ts";

const everyMs = 1_000;
const limitMs = 1_000;

export class UpstreamProbe {
  readonly #options: https.RequestOptions;
  readonly #tls: boolean;
  readonly #logger: Logger;
  #check: Check = { name: "upstream", ok: false, detail: "not asked yet" };
  #timer: NodeJS.Timeout | undefined = undefined;
  #request: http.ClientRequest | undefined = undefined;
  #closed = false;

  /** @returns undefined when the settings do not ask for it; it begins at once */
  static of(config: Config, logger: Logger): UpstreamProbe | undefined {
    const { readyUpstream } = config;
    return readyUpstream === undefined ? undefined : new UpstreamProbe(config, readyUpstream, logger);
  }

  private constructor({ upstream, upstreamCa }: Config, path: string, logger: Logger) {
    const ca = upstreamCa === undefined ? undefined : readFileSync(upstreamCa, "utf8");
    const { host, port, socketPath, basePath = "", tls, name, tlsOptions } = targetOf(upstream, ca);
    this.#tls = tls;
    this.#logger = logger;
    this.#options = {
      ...(socketPath === undefined ? { host, port } : { socketPath }),
      ...tlsOptions,
      path: `${basePath}${path}`,
      headers: { Host: socketPath === undefined ? name : "localhost", "User-Agent": "outrigger-probe" },
      agent: false,
    };
    this.#ask();
  }

  /** What the last answer says. */
  get check(): Check {
    return this.#check;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#request?.destroy();
  }

  #ask(): void {
    const request = (this.#tls ? https : http).request(this.#options);
    this.#request = request;
    // Counts from the start to the head, whatever trickles in: a timeout of the socket would not.
    const limit = setTimeout(() => request.destroy(new Error(`no answer in ${limitMs} ms`)), limitMs);
    let said: string | undefined = "connection lost";
    request.once("response", ({ statusCode = 0 }) => {
      said = statusCode >= 200 && statusCode < 400 ? undefined : `answers ${statusCode}`;
      request.destroy();
    });
    request.on("error", (error: NodeJS.ErrnoException) => (said = error.code ?? error.message));
    request.once("close", () => {
      clearTimeout(limit);
      if (this.#closed) return;
      this.#tell(said);
      this.#timer = setTimeout(() => this.#ask(), everyMs).unref();
    });
    request.end();
  }

  #tell(trouble: string | undefined): void {
    const ok = trouble === undefined;
    if (ok !== this.#check.ok) {
      if (ok) this.#logger.info({}, "the service is ready");
      else this.#logger.warn({ reason: trouble }, "the service is not ready, so this sidecar is not either");
    }
    this.#check = { name: "upstream", ok, ...(ok ? {} : { detail: trouble }) };
  }
}
