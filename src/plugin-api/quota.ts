// What a plugin may take of what it shares with others, and the refusal of more.

/** By the names that `outrigger_plugin_quota_refusals_total` counts them under. */
export type QuotaName =
  | "http_in_flight"
  | "http_calls"
  | "cache_entry_bytes"
  | "cache_loads"
  | "database_waiting"
  | "store_commands"
  | "log_lines"
  | "metric_series";

/** More than a plugin may take at once. */
export class QuotaExceeded extends Error {
  override readonly name = "QuotaExceeded";
  readonly quota: QuotaName;

  constructor(plugin: string, quota: QuotaName, limit: string) {
    super(`plugin "${plugin}" is over its quota of ${limit} (${quota})`);
    this.quota = quota;
  }
}
