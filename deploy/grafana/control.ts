// The dashboards of the control plane: the policy, and Redis.
import { type Dashboard, panel } from "./panels.ts";

const of = 'service=~"$service"';

export const policy: Dashboard = {
  uid: "outrigger-policy",
  title: "Outrigger / Policy",
  description: "Which policy is in force where, what was refused, what ends soon.",
  rows: {
    "In force": [
      panel(
        "Revision",
        "short",
        "Of the shared policy, by sidecar: lines that stay apart are sidecars that did not take it.",
        [`outrigger_policy_revision{${of}}`, "{{service}} {{instance}}"],
      ),
      panel("Revision of the service's layer", "short", "0 = none, or not known to the history.", [
        `outrigger_policy_layer_revision{${of}}`,
        "{{service}} {{instance}}",
      ]),
      panel(
        "Age",
        "s",
        "Since the source last held the policy in force: seconds, unless it is gone, unread or refused there. Of the built-in one it grows.",
        [`outrigger_policy_age_seconds{${of}}`, "{{service}} {{instance}}"],
      ),
    ],
    "Refused, left out": [
      panel("Policies refused", "short", "In five minutes.", [
        `sum by (service, instance) (increase(outrigger_policy_rejected_total{${of}}[5m]))`,
        "{{service}} {{instance}}",
      ]),
      panel("Parts of layers that are left out", "short", "They do not fit the shared policy.", [
        `max by (service) (outrigger_policy_overruled{${of}})`,
        "{{service}}",
      ]),
      panel("Requests without a policy", "reqps", "Answered 503.", [
        `sum by (service) (rate(outrigger_refused_requests_total{${of}, code="not_ready"}[$__rate_interval]))`,
        "{{service}}",
      ]),
    ],
    "Ends soon": [
      panel("The policy's signature", "dtdurations", "Time that is left; nothing for policies without one.", [
        `min by (service) ((outrigger_policy_signature_expiry_timestamp_seconds{${of}} > 0) - time())`,
        "{{service}}",
      ]),
      panel("Certificates", "dtdurations", "Time that is left to the first of a chain that is shown.", [
        `min by (service, of) (outrigger_certificate_expiry_timestamp_seconds{${of}} - time())`,
        "{{service}} {{of}}",
      ]),
    ],
    "Kill switches": [
      panel("In force", "short", "By plugin.", [
        `max by (service, plugin) (outrigger_plugin_disabled{${of}})`,
        "{{service}} {{plugin}}",
      ]),
      panel(
        "Cannot be read",
        "bool_yes_no",
        "Redis answers, and they cannot be read: what was read last holds.",
        [`max by (service, instance) (outrigger_kill_switches_unread{${of}})`, "{{service}} {{instance}}"],
      ),
    ],
  },
};

export const redis: Dashboard = {
  uid: "outrigger-redis",
  title: "Outrigger / Redis",
  description: "Redis as the sidecars see it, and what they do without it.",
  rows: {
    Connections: [
      panel("Answers", "bool_yes_no", "The least of a service's sidecars.", [
        `min by (service) (outrigger_redis_up{${of}})`,
        "{{service}}",
      ]),
      panel("Takes writes", "bool_yes_no", "No: it refused one within 15 s, as it is full or read-only.", [
        `min by (service) (outrigger_redis_writable{${of}})`,
        "{{service}}",
      ]),
      panel("Tells of changes", "bool_yes_no", "No: changes are looked for each second.", [
        `min by (service) (outrigger_redis_watch_up{${of}})`,
        "{{service}}",
      ]),
    ],
    Commands: [
      {
        ...panel("Commands", "ops", "Of all sidecars shown.", [
          `sum by (command) (rate(outrigger_redis_command_duration_seconds_count{${of}}[$__rate_interval]))`,
          "{{command}}",
        ]),
        stacked: true,
      },
      panel("99 of 100 within, by service", "s", "With the way there and back.", [
        `service:outrigger_redis_command_duration_seconds:p99_rate5m{${of}}`,
        "{{service}}",
      ]),
      panel("Mean, by command", "s", "With the way there and back.", [
        `sum by (command) (rate(outrigger_redis_command_duration_seconds_sum{${of}}[$__rate_interval])) / sum by (command) (rate(outrigger_redis_command_duration_seconds_count{${of}}[$__rate_interval]))`,
        "{{command}}",
      ]),
    ],
    "What needs it": [
      panel("Limits counted without it", "ops", "By each sidecar's share.", [
        `sum by (service, limit) (rate(outrigger_rate_limit_local_total{${of}}[$__rate_interval]))`,
        "{{service}} {{limit}}",
      ]),
      panel("Permits on lease", "short", "Taken from Redis and not used yet.", [
        `sum by (service, limit) (outrigger_rate_limit_leased_permits{${of}})`,
        "{{service}} {{limit}}",
      ]),
      panel(
        "Keys looked up, bad records",
        "ops",
        "Records that are not valid: written by another version, truncated, or hostile.",
        [`sum(rate(outrigger_auth_key_lookups_total{${of}}[$__rate_interval]))`, "keys looked up"],
        [`sum(rate(outrigger_auth_bad_key_records_total{${of}}[$__rate_interval]))`, "bad keys"],
        [`sum(rate(outrigger_cache_bad_records_total{${of}}[$__rate_interval]))`, "bad cache entries"],
      ),
    ],
  },
};
