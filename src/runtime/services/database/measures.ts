// Counts and times the use of a plugin's database.
import type { DatabaseErrorReason } from "../../../plugin-api/database.ts";
import type { Metrics } from "../../../plugin-api/telemetry.ts";

export class DatabaseMeasures {
  readonly #plugin: string;
  readonly #metrics: Metrics;

  constructor(plugin: string, metrics: Metrics) {
    this.#plugin = plugin;
    this.#metrics = metrics;
  }

  // Metrics are created at the call, so that a plugin without database use has none.

  ended(result: "ok" | DatabaseErrorReason, seconds: number): void {
    this.#metrics
      .counter(
        "outrigger_plugin_db_queries_total",
        "Queries and transactions of plugins, by what came of them",
        ["plugin", "result"],
      )(this.#plugin, result)
      .inc();
    this.#metrics
      .histogram(
        "outrigger_plugin_db_duration_seconds",
        "How long queries and transactions of plugins took",
        ["plugin"],
      )(this.#plugin)
      .observe(seconds);
  }

  connections(count: number): void {
    this.#metrics
      .gauge("outrigger_plugin_db_connections", "Connections of plugins to their databases", ["plugin"])(
        this.#plugin,
      )
      .set(count);
  }
}
