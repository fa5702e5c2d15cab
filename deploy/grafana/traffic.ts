// The dashboards of traffic: the whole fleet, and one service.
import { type Dashboard, panel } from "./panels.ts";

const of = 'service=~"$service"';

export const fleet: Dashboard = {
  uid: "outrigger-fleet",
  title: "Outrigger / Fleet",
  description: "All services at once: who is busy, who fails, what alerts.",
  rows: {
    Now: [
      {
        ...panel("Alerts", "short", "What fires now, of the rules in deploy/prometheus.", [
          `ALERTS{alertname=~"Outrigger.*", alertstate="firing", ${of}}`,
          "{{alertname}} {{service}}",
        ]),
        kind: "table",
      },
      panel("Sidecars", "short", "Those that Prometheus reaches.", [
        `count by (service) (outrigger_policy_revision{${of}})`,
        "{{service}}",
      ]),
      panel(
        "Policies in one service",
        "short",
        "Revisions in force at a time: 1, but for seconds after a change.",
        [
          `count by (service) (count_values by (service) ("revision", outrigger_policy_revision{${of}}))`,
          "{{service}}",
        ],
      ),
    ],
    Traffic: [
      {
        ...panel("Requests", "reqps", "Answered, by service.", [
          `service:outrigger_requests:rate5m{${of}}`,
          "{{service}}",
        ]),
        stacked: true,
      },
      panel(
        "Failed",
        "percentunit",
        "5xx, gRPC's errors of servers, no policy; the line is what the objective allows.",
        [`service:outrigger_errors:ratio_rate5m{${of}}`, "{{service}}"],
        ["outrigger:error_budget:ratio", "objective"],
      ),
      panel("99 of 100 answered within", "s", "From the request head to the last byte.", [
        `service:outrigger_request_duration_seconds:p99_rate5m{${of}}`,
        "{{service}}",
      ]),
    ],
    Resources: [
      {
        ...panel("Processors", "short", "Cores that sidecars take together.", [
          `sum by (service) (instance:outrigger_cpu_cores:rate5m{${of}})`,
          "{{service}}",
        ]),
        stacked: true,
      },
      {
        ...panel("Memory", "bytes", "Resident, of all sidecars.", [
          `sum by (service) (instance:outrigger_resident_memory_bytes:sum{${of}})`,
          "{{service}}",
        ]),
        stacked: true,
      },
      panel("Without Redis", "short", "Sidecars that do not reach it.", [
        `count by (service) (outrigger_redis_up{${of}} == 0)`,
        "{{service}}",
      ]),
    ],
  },
};

export const service: Dashboard = {
  uid: "outrigger-service",
  title: "Outrigger / Service",
  description: "One service: its requests, what they wait for, and its sidecars' processes.",
  rows: {
    Requests: [
      {
        ...panel("By status", "reqps", "Answers to callers.", [
          `sum by (status) (rate(outrigger_requests_total{${of}}[$__rate_interval]))`,
          "{{status}}",
        ]),
        stacked: true,
      },
      {
        ...panel("By route", "reqps", "Patterns of the policy.", [
          `sum by (route) (service_route:outrigger_requests:rate5m{${of}})`,
          "{{route}}",
        ]),
        stacked: true,
      },
      panel("Failures by route", "reqps", "5xx alone.", [
        `sum by (route, status) (rate(outrigger_requests_total{${of}, status=~"5.."}[$__rate_interval]))`,
        "{{route}} {{status}}",
      ]),
      panel(
        "Answered within",
        "s",
        "Of 100 requests 50, 95, 99.",
        [`service:outrigger_request_duration_seconds:p50_rate5m{${of}}`, "{{service}} p50"],
        [`service:outrigger_request_duration_seconds:p95_rate5m{${of}}`, "{{service}} p95"],
        [`service:outrigger_request_duration_seconds:p99_rate5m{${of}}`, "{{service}} p99"],
      ),
      panel("99 of 100 by route", "s", "From the request head to the last byte.", [
        `histogram_quantile(0.99, sum by (route, le) (rate(outrigger_request_duration_seconds_bucket{${of}}[$__rate_interval])))`,
        "{{route}}",
      ]),
      panel(
        "Calls of gRPC",
        "reqps",
        "By status: 0 is OK, 14 UNAVAILABLE, 4 DEADLINE_EXCEEDED, 16 UNAUTHENTICATED, 7 PERMISSION_DENIED.",
        [
          `sum by (grpc_status) (rate(outrigger_grpc_requests_total{${of}}[$__rate_interval]))`,
          "{{grpc_status}}",
        ],
      ),
    ],
    "What they wait for": [
      panel("The service's own time", "s", "From forwarding to the head of its answer, 99 of 100.", [
        `service:outrigger_upstream_duration_seconds:p99_rate5m{${of}}`,
        "{{service}}",
      ]),
      panel(
        "Connections to the service",
        "short",
        "Queued ones wait for a connection: more than none for long is too few connections, or too slow a service.",
        [`sum by (upstream, state) (outrigger_upstream_connections{${of}})`, "{{upstream}} {{state}}"],
      ),
      panel(
        "Turned away",
        "ops",
        "Before any route, by reason; connections beyond the bound; load that was shed.",
        [`sum by (code) (rate(outrigger_refused_requests_total{${of}}[$__rate_interval]))`, "{{code}}"],
        [`sum(rate(outrigger_connections_refused_total{${of}}[$__rate_interval]))`, "connections"],
        [`sum by (cause) (rate(outrigger_overload_shed_total{${of}}[$__rate_interval]))`, "shed: {{cause}}"],
      ),
    ],
    Processes: [
      panel("Processor", "short", "Cores: a process takes about one at most.", [
        `instance:outrigger_cpu_cores:rate5m{${of}}`,
        "{{instance}}",
      ]),
      panel("Memory", "bytes", "Resident.", [
        `instance:outrigger_resident_memory_bytes:sum{${of}}`,
        "{{instance}}",
      ]),
      panel("Open files", "percentunit", "Of those allowed.", [
        `instance:outrigger_open_fds:ratio{${of}}`,
        "{{instance}}",
      ]),
      panel(
        "Event loop, 99 of 100 rounds",
        "s",
        "0.05 s is its sampler's own resolution: an idle process shows that.",
        [`instance:outrigger_event_loop_lag_seconds:p99{${of}}`, "{{instance}}"],
      ),
      panel("Stalls", "short", "Times of a second and more in five minutes in which nothing went on.", [
        `sum by (instance) (increase(outrigger_event_loop_stall_seconds_count{${of}}[5m]))`,
        "{{instance}}",
      ]),
      panel("Exceptions that nobody caught", "short", "In five minutes; the log has them.", [
        `sum by (instance, kind) (increase(outrigger_faults_total{${of}}[5m]))`,
        "{{instance}} {{kind}}",
      ]),
    ],
    "What is told of it": [
      panel("Spans", "ops", "Rejected: the collector said no. Dropped: it was too slow or away.", [
        `sum by (result) (rate(outrigger_trace_spans_total{${of}}[$__rate_interval]))`,
        "{{result}}",
      ]),
      panel(
        "Log lines lost",
        "ops",
        "By a reader that is too slow, or by the stream in Redis.",
        [`sum(rate(outrigger_log_lines_dropped_total{${of}}[$__rate_interval]))`, "output"],
        [
          `sum by (reason) (rate(outrigger_log_stream_dropped_total{${of}}[$__rate_interval]))`,
          "stream: {{reason}}",
        ],
      ),
      panel(
        "Oddities of callers",
        "ops",
        "Baggage that was too long, proxies whose two fields name different clients.",
        [`sum(rate(outrigger_trace_baggage_dropped_total{${of}}[$__rate_interval]))`, "baggage dropped"],
        [
          `sum(rate(outrigger_forwarded_disagreements_total{${of}}[$__rate_interval]))`,
          "forwarded fields disagree",
        ],
      ),
    ],
  },
};
