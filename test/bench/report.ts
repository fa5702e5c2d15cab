// Renders the results as Markdown, for the terminal and for the pages that show them.
import { readFileSync, writeFileSync } from "node:fs";
import { cpuModel } from "./machine.ts";
import { goals } from "./goals.ts";
import { judgedUpTo, type Metric, type Results, type Summary } from "./results.ts";
import type { Scenario } from "./scenarios.ts";

export interface Circumstances {
  /** The command of this run, as a user types it. */
  readonly command: string;
  /** Command that started the sidecar. */
  readonly sidecar: string;
  /** Part of the machine's time that other processes took, 0 to 1. */
  readonly shareOfOthers: number;
}

const ranAs = (command: string): string =>
  `\`${command}\`, ${new Date().toISOString().slice(0, 10)}, ${cpuModel()}, Node ${process.versions.node}.`;

/** Renders everything that was measured, except for the goals. */
export function renderFigures(
  results: Results,
  scenarios: readonly Scenario[],
  { command, sidecar, shareOfOthers }: Circumstances,
): string {
  return [
    `${ranAs(command)} The sidecar is ${sidecar}. Medians of rounds in which the contenders take turns, (least–most); "start to start" are the medians of each process that was started, of which equal ones differ; ratios are taken within a round, and from the half of the rounds in which other work took least of the machine (on the whole: ${percent(shareOfOthers)}). CPU is user and system time of the contender's own processes. Each has one core, load and service another; latencies are medians of windows of 3 s, without their first second.`,
    cpuTable(results, scenarios),
    byteTable(results, scenarios),
    furtherTable(results, scenarios),
    [...results.leftOut, ...results.invalid].map((line) => `- ${line}`).join("\n"),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

/** Renders the goals, and which are met; `more` says where the other figures are. */
export function renderGoals(
  results: Results,
  scenarios: readonly Scenario[],
  { command }: Circumstances,
  more: string,
): string {
  return `${ranAs(command)} ${more}\n\n${goalTable(results, scenarios)}`;
}

function cpuTable(results: Results, scenarios: readonly Scenario[]): string {
  const rows = scenarios.flatMap(({ name, title }) =>
    results
      .contenders(name, "cpuUs")
      .map((contender) => [
        title,
        contender,
        spread(results.summary(name, contender, "cpuUs"), 1),
        range(results.starts(name, contender, "cpuUs"), 1),
        spread(results.ratio(name, contender, "nginx", "cpuUs"), 2),
        number(results.summary(name, contender, "requestsPerSecond")?.median, 0),
        `${number(results.summary(name, contender, "idleRssMiB")?.median, 0)} / ${number(results.summary(name, contender, "rssMiB")?.max, 0)}`,
      ]),
  );
  return table(
    [
      "traffic",
      "proxy",
      "CPU, µs a request",
      "start to start",
      "times nginx",
      "requests/s",
      "MiB at start / after load",
    ],
    rows,
  );
}

function byteTable(results: Results, scenarios: readonly Scenario[]): string {
  const rows = scenarios.flatMap(({ name, title }) =>
    results
      .contenders(name, "nsPerKiB")
      .map((contender) => [
        title,
        contender,
        spread(results.summary(name, contender, "nsPerKiB"), 0),
        spread(results.ratio(name, contender, "nginx", "nsPerKiB"), 2),
        number(results.summary(name, contender, "mbPerCpuSecond")?.median, 0),
      ]),
  );
  return table(["traffic", "proxy", "CPU, ns a KiB", "times nginx", "MB/s a core"], rows);
}

const furtherMetrics: readonly (readonly [Metric, string, number])[] = [
  ["idleRssMiB", "MiB idle", 0],
  ["rssMiB", "MiB", 0],
  ["pacedCpuUs", "µs of CPU a request", 0],
  ["p50Ms", "ms p50", 2],
  ["p99Ms", "ms p99", 2],
  ["ms", "ms", 0],
];

function furtherTable(results: Results, scenarios: readonly Scenario[]): string {
  const rows = scenarios
    .filter(({ name }) => results.contenders(name, "cpuUs").length === 0)
    .flatMap(({ name, title }) =>
      furtherMetrics.flatMap(([metric, unit, digits]) =>
        results
          .contenders(name, metric)
          .map((contender) => [
            title,
            contender,
            `${spread(results.summary(name, contender, metric), digits)} ${unit}`,
          ]),
      ),
    );
  return table(["figure", "of", "measured"], rows);
}

function goalTable(results: Results, scenarios: readonly Scenario[]): string {
  const asked = goals.filter((goal) => scenarios.some(({ name }) => name === goal.scenario));
  const rows = asked.map(({ figure, unit, limits, measured, scenario }) => {
    const value = measured(results);
    const others = results.shareOfOthers(scenario);
    const verdict = (limit: number | undefined): string => {
      if (limit === undefined) return "";
      if (value === undefined) return `${limit} ${unit}: not measured`;
      if (others > judgedUpTo) return `${limit} ${unit}: not judged, others took ${percent(others)}`;
      return `${limit} ${unit}: ${value <= limit ? "met" : "**missed**"}`;
    };
    const text = value === undefined ? "-" : `${number(value, unit === "x" ? 2 : 0)} ${unit}`;
    return [figure, text, verdict(limits[0]), verdict(limits[1])];
  });
  return table(["figure", "measured", "goal", "stretch"], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  // A cell is empty if it repeats the one above.
  const nodes = rows.map((row, index) => (row[0] === rows[index - 1]?.[0] ? ["", ...row.slice(1)] : row));
  return [head, head.map(() => "---"), ...nodes].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

function spread(summary: Summary | undefined, digits: number): string {
  if (summary === undefined) return "-";
  const { median, min, max } = summary;
  return min === max
    ? number(median, digits)
    : `${number(median, digits)} (${number(min, digits)}–${number(max, digits)})`;
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function range(summary: Summary | undefined, digits: number): string {
  return summary === undefined ? "-" : `${number(summary.min, digits)}–${number(summary.max, digits)}`;
}

function number(value: number | undefined, digits: number): string {
  return value === undefined ? "-" : value.toFixed(digits);
}

/** Writes the text between the marks of this name. Throws if the file lacks them. */
export function writeInto(file: string, mark: string, body: string): void {
  const [begin, end] = [`<!-- ${mark}:begin -->`, `<!-- ${mark}:end -->`];
  const text = readFileSync(file, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`${file} has no ${begin} … ${end}`);
  writeFileSync(file, `${text.slice(0, from + begin.length)}\n${body}\n${text.slice(to)}`);
}
