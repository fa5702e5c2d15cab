// Checks at intervals (default: 15 seconds) whether the service can be reached without passing this sidecar. The
// metrics, the log, `/readyz?verbose` and the fleet get the result.
import type { Check } from "../admin/readiness.ts";
import type { Config } from "../config/config.ts";
import { type Bypass, bypassStates, lookForBypass, ownAddresses } from "../intercept/bypass.ts";
import type { Gauge, Logger, Metrics } from "../plugin-api/telemetry.ts";

const defaultEveryMs = 15_000;

export interface BypassWatchOptions {
  readonly config: Pick<Config, "upstream" | "listen" | "admin">;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called when the state changes. */
  readonly onChange: () => void;
  readonly look?: typeof lookForBypass;
  readonly everyMs?: number;
}

export class BypassWatch {
  readonly #options: BypassWatchOptions;
  readonly #own: readonly string[];
  readonly #gauges: readonly Gauge[];
  #last: Bypass | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: BypassWatchOptions) {
    const { config, metrics } = options;
    this.#options = options;
    this.#own = ownAddresses(config);
    const gauge = metrics.gauge(
      "outrigger_upstream_bypass",
      "Whether the service can be reached past the sidecar: 1 for the state that is (closed, intercepted, open, unknown)",
      ["state"],
      "max",
    );
    this.#gauges = bypassStates.map((state) => gauge(state));
    void this.#look();
  }

  get current(): Bypass | undefined {
    return this.#last;
  }

  /** Always ok, as a mere warning: taking the sidecar out of service would protect nobody. */
  get checks(): readonly Check[] {
    if (this.#last === undefined) return [];
    const { state, detail } = this.#last;
    return [{ name: "bypass", ok: true, detail: `${state}: ${detail}` }];
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const { config, look = lookForBypass, everyMs = defaultEveryMs } = this.#options;
    const found = await look(config.upstream, { own: this.#own });
    if (this.#closed) return;
    this.#tell(found);
    this.#timer = setTimeout(() => void this.#look(), everyMs).unref();
  }

  #tell(found: Bypass): void {
    const { logger, onChange } = this.#options;
    const before = this.#last?.state;
    this.#last = found;
    if (before === found.state) return;
    for (const [at, state] of bypassStates.entries()) this.#gauges[at]?.set(state === found.state ? 1 : 0);
    const advice = "have it listen on 127.0.0.1 alone, or take its port: outrigger intercept install";
    if (found.state === "open") logger.warn({ advice }, found.detail);
    else if (before === "open")
      logger.info({ detail: found.detail }, "the service is not reached past the sidecar any more");
    onChange();
  }
}
