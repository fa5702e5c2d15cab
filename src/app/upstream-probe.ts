// Checks whether the service itself is ready, when the sidecar's readiness must follow it: one bounded request at a
// time, on a connection of its own, without plugins and pools.
import http from "node:http";
import type { Check } from "../admin/readiness.ts";
import type { Config } from "../config/config.ts";
import { targetOf, type UpstreamTrust } from "../routing/held-upstreams.ts";
import type { ReadyCheck } from "../config/ready-check.ts";
import { Connector } from "../upstream/connector.ts";
import type { UpstreamTarget } from "../upstream/transport.ts";
import { askHttp2, type ProbeRequest } from "./http2-probe.ts";
import type { Logger } from "../plugin-api/telemetry.ts";

const everyMs = 1_000;
const limitMs = 1_000;

export class UpstreamProbe {
  readonly #target: UpstreamTarget;
  readonly #request: ProbeRequest;
  readonly #speaksHttp2: boolean;
  readonly #logger: Logger;
  #check: Check = { name: "upstream", ok: false, detail: "not asked yet" };
  #timer: NodeJS.Timeout | undefined = undefined;
  #giveUp: ((reason: string) => void) | undefined = undefined;
  #closed = false;

  /** Starts probing at once. @returns undefined when the settings do not ask for it */
  static of(config: Config, trust: UpstreamTrust, logger: Logger): UpstreamProbe | undefined {
    const { readyUpstream } = config;
    return readyUpstream === undefined ? undefined : new UpstreamProbe(config, readyUpstream, trust, logger);
  }

  private constructor(config: Config, check: ReadyCheck, trust: UpstreamTrust, logger: Logger) {
    const { upstream, upstreamProtocol, upstreamProxyProtocol } = config;
    this.#target = { ...targetOf(upstream, trust), proxyProtocol: upstreamProxyProtocol };
    this.#logger = logger;
    const { socketPath, basePath = "", name } = this.#target;
    const host = socketPath === undefined ? name : "localhost";
    const isGrpc = "grpcService" in check;
    this.#request = isGrpc ? { ...check, path: "", host } : { path: `${basePath}${check.path}`, host };
    // When only gRPC goes over HTTP/2, a path is asked over HTTP/1.1.
    this.#speaksHttp2 = isGrpc || upstreamProtocol === "h2c" || upstreamProtocol === "h2";
    this.#ask();
  }

  /** Result of the last probe. */
  get check(): Check {
    return this.#check;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#giveUp?.("the sidecar ends");
  }

  #ask(): void {
    const ask = this.#speaksHttp2 ? askHttp2 : askHttp1;
    const giveUp = ask(this.#target, this.#request, (trouble) => {
      clearTimeout(limit);
      if (this.#closed) return;
      this.#tell(trouble);
      this.#timer = setTimeout(() => this.#ask(), everyMs).unref();
    });
    this.#giveUp = giveUp;
    // Counts from the start to the response head, even if bytes trickle in: a socket timeout would start again with
    // each.
    const limit = setTimeout(() => giveUp(`no answer in ${limitMs} ms`), limitMs);
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

function askHttp1(
  target: UpstreamTarget,
  { path, host: name }: ProbeRequest,
  done: (trouble: string | undefined) => void,
): (reason: string) => void {
  const connector = new Connector(target);
  const request = http.request({
    createConnection: () => connector.openStream(),
    path,
    headers: { Host: name, "User-Agent": "outrigger-probe" },
  });
  let said: string | undefined = "connection lost";
  request.once("response", ({ statusCode = 0 }) => {
    said = statusCode >= 200 && statusCode < 400 ? undefined : `answers ${statusCode}`;
    request.destroy();
  });
  request.on("error", (error: NodeJS.ErrnoException) => (said = error.code ?? error.message));
  request.once("close", () => done(said));
  request.end();
  return (reason) => void request.destroy(new Error(reason));
}
