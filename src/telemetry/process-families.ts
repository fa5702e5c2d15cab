// Parses prom-client's text of the process metrics into family snapshots, the form of the other families.
import type { FamilySnapshot } from "./metric-families.ts";

interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const head = /^# (HELP|TYPE) (\w+) (.*)$/;
const label = /[{,](\w{1,128})="((?:[^"\\]|\\.)*)"/g;

/** @param text Prometheus text format, family by family */
export function processFamilies(text: string): FamilySnapshot[] {
  const families: FamilySnapshot[] = [];
  let help = "";
  let type = "";
  let name = "";
  let samples: Sample[] = [];
  const close = (): void => {
    if (samples.length > 0) families.push(familyOf({ name, help, type }, samples));
    samples = [];
  };
  for (const line of text.split("\n")) {
    const [, what, of = "", rest = ""] = head.exec(line) ?? [];
    if (what === "HELP") {
      close();
      [name, help] = [of, rest];
    } else if (what === "TYPE") type = rest;
    else if (line !== "") samples.push(sampleOf(line));
  }
  close();
  return families;
}

function sampleOf(line: string): Sample {
  const space = line.lastIndexOf(" ");
  const brace = line.indexOf("{");
  const pairs = brace === -1 ? [] : [...line.slice(brace, space).matchAll(label)];
  return {
    name: line.slice(0, brace === -1 ? space : brace),
    labels: new Map(pairs.map(([, key = "", value = ""]) => [key, unescaped(value)])),
    value: Number(line.slice(space + 1).replace("Inf", "Infinity")),
  };
}

const unescaped = (value: string): string =>
  value.replaceAll(/\\(.)/g, (_, unit: string) => (unit === "n" ? "\n" : unit));

interface Head {
  readonly name: string;
  readonly help: string;
  readonly type: string;
}

function familyOf({ name, help, type }: Head, samples: readonly Sample[]): FamilySnapshot {
  const labels = [...new Set(samples.flatMap((each) => [...each.labels.keys()]))].filter(
    (key) => key !== "service" && key !== "le",
  );
  const bounds = [...new Set(samples.map((each) => Number(each.labels.get("le") ?? "NaN")))];
  const buckets = bounds.filter((bound) => Number.isFinite(bound));
  const series = new Map<string, FamilySnapshot["series"][number]>();
  for (const { labels: given, value, name: of } of samples) {
    const values = labels.map((key) => given.get(key) ?? "");
    const key = values.join("\xff");
    let one = series.get(key);
    if (one === undefined)
      series.set(
        key,
        (one = { values, cells: new Float64Array(type === "histogram" ? buckets.length + 2 : 1) }),
      );
    if (type !== "histogram") one.cells[0] = value;
    else if (of.endsWith("_sum")) one.cells[buckets.length + 1] = value;
    else if (of.endsWith("_bucket")) one.cells[bucketOf(buckets, given.get("le"))] = value;
  }
  const known = type === "counter" || type === "histogram" ? type : "gauge";
  if (known === "histogram") for (const { cells } of series.values()) apart(cells);
  return { name, help, type: known, labels, buckets, aggregation: "sum", series: [...series.values()] };
}

/** The index of a bucket; values above all bounds are in the last one. */
function bucketOf(buckets: readonly number[], bound: string | undefined): number {
  const at = buckets.indexOf(Number(bound));
  return at === -1 ? buckets.length : at;
}

/** Converts cumulative bucket counts into counts per bucket. */
function apart(cells: Float64Array): void {
  for (let i = cells.length - 2; i > 0; i -= 1) cells[i] = (cells[i] as number) - (cells[i - 1] as number);
}
