// Defines the error for a plugin that exceeds its share of a resource that plugins share.

/** Each name is a value of the label in `outrigger_plugin_quota_refusals_total`. */
export type QuotaName =
  | "http_in_flight"
  | "http_calls"
  | "cache_entry_bytes"
  | "cache_loads"
  | "database_waiting"
  | "store_commands"
  | "log_lines"
  | "metric_series";

/** The plugin asked for more than it may have. */
export class QuotaExceeded extends Error {
  override readonly name = "QuotaExceeded";
  readonly quota: QuotaName;

  constructor(plugin: string, quota: QuotaName, limit: string) {
    super(`plugin "${plugin}" is over its quota of ${limit} (${quota})`);
    this.quota = quota;
  }
}
