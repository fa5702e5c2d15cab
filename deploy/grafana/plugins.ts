// The dashboard of plugins: their cost, their failures, their decisions.
import { type Dashboard, panel } from "./panels.ts";

const of = 'service=~"$service"';

export const plugins: Dashboard = {
  uid: "outrigger-plugins",
  title: "Outrigger / Plugins",
  description: "What plugins cost, how they fail, what they decide.",
  rows: {
    "All of them": [
      panel("Calls", "ops", "Of hooks.", [
        `sum by (plugin, phase) (rate(outrigger_plugin_duration_seconds_count{${of}}[$__rate_interval]))`,
        "{{plugin}} {{phase}}",
      ]),
      panel("99 of 100 calls within", "s", "Waiting for Redis or issuers included.", [
        `service_plugin:outrigger_plugin_duration_seconds:p99_rate5m{${of}}`,
        "{{service}} {{plugin}}",
      ]),
      panel("Time spent", "short", "Seconds in a plugin's hooks a second; waiting counts.", [
        `sum by (plugin) (rate(outrigger_plugin_duration_seconds_sum{${of}}[$__rate_interval]))`,
        "{{plugin}}",
      ]),
      panel("Failures", "percentunit", "Hooks that threw, rejected or passed their limit.", [
        `service_plugin:outrigger_plugin_errors:ratio_rate5m{${of}}`,
        "{{service}} {{plugin}}",
      ]),
      {
        ...panel(
          "Failures by type",
          "ops",
          "It threw, passed its time limit, came to what no hook may, or what runs it was not there.",
          [
            `sum by (plugin, type) (rate(outrigger_plugin_errors_total{${of}}[$__rate_interval]))`,
            "{{plugin}} {{type}}",
          ],
        ),
        stacked: true,
      },
      panel(
        "Left out, too slow",
        "bool_yes_no",
        "Quarantined: it threw where nobody waited for it, or kept dying. Over budget: it takes more time a request than it is allowed.",
        [
          `max by (plugin, version) (outrigger_plugin_quarantined{${of}})`,
          "{{plugin}} {{version}} quarantined",
        ],
        [
          `max by (plugin, version) (outrigger_plugin_over_budget{${of}})`,
          "{{plugin}} {{version}} over budget",
        ],
      ),
      panel("Kill switches", "short", "In force, by plugin.", [
        `max by (plugin) (outrigger_plugin_disabled{${of}})`,
        "{{plugin}}",
      ]),
    ],
    "auth and rate-limit": [
      panel("How callers are known", "ops", "By method and result.", [
        `sum by (method, result) (rate(outrigger_auth_total{${of}}[$__rate_interval]))`,
        "{{method}} {{result}}",
      ]),
      panel("Refused by rules", "ops", "By the first condition that failed; `dry-run` would have refused.", [
        `sum by (rule, condition, mode) (rate(outrigger_auth_rule_refusals_total{${of}}[$__rate_interval]))`,
        "{{rule}} {{condition}} {{mode}}",
      ]),
      panel("Limits", "ops", "By limit and result.", [
        `sum by (limit, result) (rate(outrigger_rate_limit_total{${of}}[$__rate_interval]))`,
        "{{limit}} {{result}}",
      ]),
      panel("Overload: what the service can take", "short", "Requests in flight, as measured.", [
        `sum by (service, upstream) (outrigger_overload_limit{${of}})`,
        "{{service}} {{upstream}}",
      ]),
      panel("Overload: load that was shed", "ops", "Answered 503, by priority and cause.", [
        `sum by (priority, cause) (rate(outrigger_overload_shed_total{${of}}[$__rate_interval]))`,
        "{{priority}} {{cause}}",
      ]),
      panel("Overshoot of leases", "short", "Most requests beyond a limit in any interval.", [
        `max by (service, limit) (outrigger_rate_limit_overshoot_bound{${of}})`,
        "{{service}} {{limit}}",
      ]),
    ],
    cache: [
      {
        ...panel("What came of it", "ops", "By X-Cache.", [
          `sum by (result) (rate(outrigger_cache_requests_total{${of}}[$__rate_interval]))`,
          "{{result}}",
        ]),
        stacked: true,
      },
      panel("Entries in memory", "short", "Of all sidecars shown.", [
        `sum by (service) (outrigger_cache_memory_entries{${of}})`,
        "{{service}}",
      ]),
      panel("Memory", "bytes", "Keys and fields counted.", [
        `sum by (service) (outrigger_cache_memory_bytes{${of}})`,
        "{{service}}",
      ]),
    ],
    "Plugins of others": [
      panel("Requests over HTTP", "ops", "What plugins ask of others.", [
        `sum by (plugin) (rate(outrigger_plugin_http_duration_seconds_count{${of}}[$__rate_interval]))`,
        "{{plugin}}",
      ]),
      panel("Queries to databases", "ops", "By plugin.", [
        `sum by (plugin) (rate(outrigger_plugin_db_queries_total{${of}}[$__rate_interval]))`,
        "{{plugin}}",
      ]),
      panel(
        "Beyond what they may",
        "ops",
        "Refused by their quotas; effects that nobody took in time.",
        [
          `sum by (plugin) (rate(outrigger_plugin_quota_refusals_total{${of}}[$__rate_interval]))`,
          "{{plugin}} quota",
        ],
        [
          `sum by (plugin) (rate(outrigger_plugin_effects_dropped_total{${of}}[$__rate_interval]))`,
          "{{plugin}} effects",
        ],
      ),
    ],
  },
};
