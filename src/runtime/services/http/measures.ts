// Counts and times a plugin's own HTTP calls.
import { HttpError, type HttpAnswer } from "../../../plugin-api/http.ts";
import type { Counter, Histogram, Metrics } from "../../../plugin-api/telemetry.ts";

/** Hosts of one plugin that get series of their own if it does not declare hosts by name. */
const maxHosts = 50;

export class HttpMeasures {
  readonly #plugin: string;
  readonly #requests: (...labels: string[]) => Counter;
  readonly #seconds: (...labels: string[]) => Histogram;
  readonly #retries: (...labels: string[]) => Counter;
  readonly #hosts = new Set<string>();

  constructor(plugin: string, metrics: Metrics) {
    this.#plugin = plugin;
    this.#requests = metrics.counter(
      "outrigger_plugin_http_requests_total",
      "Calls of plugins over HTTP, by what came of them",
      ["plugin", "host", "result"],
    );
    this.#seconds = metrics.histogram(
      "outrigger_plugin_http_duration_seconds",
      "How long calls of plugins over HTTP took, retries included",
      ["plugin", "host"],
    );
    this.#retries = metrics.counter(
      "outrigger_plugin_http_retries_total",
      "Further tries of plugins' calls: sent, or left out because the host's budget of retries was used up",
      ["plugin", "host", "result"],
    );
  }

  /**
   * @param declared the host as `needs.hosts` has it; undefined = the label is `host` itself, for the first `maxHosts`
   * hosts
   */
  labelOf(declared: string | undefined, host: string): string {
    if (declared !== undefined) return declared;
    if (!this.#hosts.has(host) && this.#hosts.size >= maxHosts) return "other";
    this.#hosts.add(host);
    return host;
  }

  ended(host: string, outcome: HttpAnswer | HttpError, seconds: number): void {
    const result = outcome instanceof HttpError ? outcome.reason : `${Math.floor(outcome.status / 100)}xx`;
    this.#requests(this.#plugin, host, result).inc();
    this.#seconds(this.#plugin, host).observe(seconds);
  }

  refused(): void {
    this.#requests(this.#plugin, "other", "refused").inc();
  }

  retry(host: string, result: "sent" | "over_budget"): void {
    this.#retries(this.#plugin, host, result).inc();
  }
}
