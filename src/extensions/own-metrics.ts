// The sidecar's own metrics: a plugin whose metrics could have one of these names would speak for the sidecar.

/** All that are defined under src/. */
export const ownMetrics: readonly string[] = [
  "outrigger_audit_records_total",
  "outrigger_certificate_expiry_timestamp_seconds",
  "outrigger_connections_refused_total",
  "outrigger_event_loop_stall_seconds",
  "outrigger_faults_total",
  "outrigger_forwarded_disagreements_total",
  "outrigger_grpc_requests_total",
  "outrigger_kill_switches_unread",
  "outrigger_log_lines_dropped_total",
  "outrigger_metric_points_total",
  "outrigger_metric_series_folded_total",
  "outrigger_plugin_cache_bytes",
  "outrigger_plugin_cache_requests_total",
  "outrigger_plugin_db_connections",
  "outrigger_plugin_db_duration_seconds",
  "outrigger_plugin_db_queries_total",
  "outrigger_plugin_disabled",
  "outrigger_plugin_duration_seconds",
  "outrigger_plugin_effects_dropped_total",
  "outrigger_plugin_errors_total",
  "outrigger_plugin_http_duration_seconds",
  "outrigger_plugin_http_requests_total",
  "outrigger_plugin_http_retries_total",
  "outrigger_plugin_left_out_total",
  "outrigger_plugin_over_budget",
  "outrigger_plugin_quarantined",
  "outrigger_plugin_quota_refusals_total",
  "outrigger_policy_age_seconds",
  "outrigger_policy_canary",
  "outrigger_policy_layer_revision",
  "outrigger_policy_overruled",
  "outrigger_policy_rejected_total",
  "outrigger_policy_revision",
  "outrigger_policy_signature_expiry_timestamp_seconds",
  "outrigger_redis_command_duration_seconds",
  "outrigger_redis_up",
  "outrigger_redis_watch_up",
  "outrigger_redis_writable",
  "outrigger_refused_requests_total",
  "outrigger_request_duration_seconds",
  "outrigger_requests_total",
  "outrigger_retries_total",
  "outrigger_stream_messages_total",
  "outrigger_tap_events_dropped_total",
  "outrigger_trace_baggage_dropped_total",
  "outrigger_trace_spans_total",
  "outrigger_upstream_connections",
  "outrigger_upstream_duration_seconds",
  "outrigger_upstream_endpoint_up",
  "outrigger_worker_metrics_left_out",
  "outrigger_worker_restarts_total",
  "outrigger_workers",
];

/** @returns the sidecar's own metric that the metrics of a plugin with this name could pass for; undefined = none */
export function ownMetricLike(plugin: string): string | undefined {
  const prefix = `outrigger_${plugin.replaceAll("-", "_")}_`;
  // A histogram has series of longer names: `…_bucket`, `…_sum`, `…_count`.
  return ownMetrics.find((name) => `${name}_`.startsWith(prefix));
}
