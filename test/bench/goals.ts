// Lists the goal for each figure. A goal is met if the figure is not above it.
import { afterLull } from "./measure-lull.ts";
import type { Metric, Results } from "./results.ts";

export interface Goal {
  readonly figure: string;
  readonly unit: "x" | "MiB" | "ms";
  readonly scenario: string;
  /** The goal, and a stretch goal. */
  readonly limits: readonly [goal: number, stretch?: number];
  /** Returns undefined if nothing valid was measured for it. */
  readonly measured: (results: Results) => number | undefined;
}

const bare = "outrigger: no plugins";
const common = "outrigger: logging+cors+transform";
const chain = "outrigger: full chain";

type Limits = Goal["limits"];

/** Cost of one contender divided by that of another, in the same rounds. */
function ratio(
  figure: string,
  [scenario, contender, to, metric]: readonly [string, string, string, Metric],
  limits: Limits,
): Goal {
  const measured: Goal["measured"] = (results) => results.ratio(scenario, contender, to, metric)?.median;
  return { figure, unit: "x", scenario, limits, measured };
}

/** Lower quartile of one contender's rounds divided by that of another: other work can only raise either. */
function quartiles(
  figure: string,
  [scenario, contender, to]: readonly [string, string, string],
  limits: Limits,
): Goal {
  const measured: Goal["measured"] = (results) => results.quartileRatio(scenario, contender, to, "cpuUs");
  return { figure, unit: "x", scenario, limits, measured };
}

/** For memory the maximum of all rounds, for times the median. */
function plain(
  figure: string,
  [scenario, contender, metric]: readonly [string, string, Metric],
  limits: Limits,
): Goal {
  const unit = metric.endsWith("MiB") ? "MiB" : "ms";
  const measured: Goal["measured"] = (results) =>
    results.summary(scenario, contender, metric)?.[unit === "MiB" ? "max" : "median"];
  return { figure, unit, scenario, limits, measured };
}

/** (with sidecar - direct) / (with nginx - direct); undefined where nginx adds nothing that can be measured. */
function addedLatency(results: Results): number | undefined {
  const added = (contender: string): number =>
    results.difference("latency", contender, "direct", "p99Ms")?.median ?? Number.NaN;
  const times = added(chain) / added("nginx");
  return added("nginx") > 0 && !Number.isNaN(times) ? times : undefined;
}

export const goals: readonly Goal[] = [
  quartiles("bare forward, CPU a request, to nginx", ["small", bare, "nginx"], [1.6, 1.4]),
  quartiles(
    "full chain, every answer stored, to nginx doing the same",
    ["chain", chain, "nginx, same work"],
    [1.25, 1],
  ),
  quartiles("hit in the full chain, to nginx doing the same", ["hit", chain, "nginx, same work"], [1.4, 1.1]),
  quartiles(
    "half a second after 30 s of rest, to itself in the middle of work",
    ["lull", afterLull(chain), chain],
    [1.3, 1.1],
  ),
  ratio(
    "logging+cors+transform, CPU a request, to http-proxy-3",
    ["small", common, "http-proxy-3", "cpuUs"],
    [1],
  ),
  ratio("full chain, CPU a request, to nginx", ["chain", chain, "nginx", "cpuUs"], [3, 2.5]),
  ratio("full chain, CPU a request, to http-proxy-3", ["chain", chain, "http-proxy-3", "cpuUs"], [0.5, 0.4]),
  ratio(
    "cache hit in the full chain, CPU a request, to `node:http` answering itself",
    ["hit", chain, "node:http", "cpuUs"],
    [1.5, 1.3],
  ),
  quartiles(
    "5,000 routes, all in use, to none",
    ["routes", "outrigger: logging, 5,000 routes", "outrigger: logging"],
    [1.05],
  ),
  ratio("64 KiB bodies, CPU a byte, to nginx", ["64k", bare, "nginx", "nsPerKiB"], [2, 1.3]),
  ratio("16 MiB bodies, CPU a byte, to nginx", ["stream", bare, "nginx", "nsPerKiB"], [2, 1.3]),
  plain("memory of the full chain, idle", ["idle", chain, "idleRssMiB"], [60, 55]),
  plain("memory of the full chain at 1000 requests a second", ["paced", chain, "rssMiB"], [105, 90]),
  plain("memory of the full chain with 1000 idle connections", ["idle", chain, "rssMiB"], [90, 75]),
  plain("memory of logging+cors+transform under full load", ["small", common, "rssMiB"], [90]),
  plain("start to ready, logging+cors+transform", ["start", common, "ms"], [300, 200]),
  plain("start to ready, full chain with Redis", ["start", chain, "ms"], [300, 200]),
  {
    figure: "latency added at 300 requests a second, p99, full chain, to nginx",
    unit: "x",
    scenario: "latency",
    limits: [3, 2],
    measured: addedLatency,
  },
  plain("`SET` to enforced, p99 of 200 changes", ["policy", common, "p99Ms"], [1000, 50]),
];
