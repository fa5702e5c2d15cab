// Keeps the metric families of one registry by name, and merges those of several processes, which arrive as plain data.
import { z } from "zod";
import type { Aggregation } from "../plugin-api/telemetry.ts";
import {
  Buckets,
  type Child,
  CounterChild,
  MetricFamily,
  type MetricFamilyOptions,
  GaugeChild,
  HistogramChild,
} from "./metric-family.ts";

/** A family as another process sends it. */
export const familySnapshot = z.strictObject({
  name: z.string(),
  help: z.string(),
  type: z.enum(["counter", "gauge", "histogram"]),
  labels: z.array(z.string()),
  buckets: z.array(z.number()),
  aggregation: z.enum(["sum", "max", "min"]),
  series: z.array(
    z.strictObject({
      values: z.array(z.string()),
      cells: z.instanceof(Float64Array),
      exemplars: z
        .array(z.strictObject({ traceId: z.string(), value: z.number(), atMs: z.number() }).optional())
        .optional(),
    }),
  ),
});

export type FamilySnapshot = z.output<typeof familySnapshot>;

type Wanted = Omit<MetricFamilyOptions, "service" | "maxSeries" | "onFolded">;

const foldedFamily = {
  name: "outrigger_metric_series_folded_total",
  help: "Times that a metric had no room for a further series, whose labels became `other`",
  type: "counter",
  labels: ["metric"],
  buckets: [],
  aggregation: "sum",
} as const satisfies Wanted;

/** Families with the same name must agree in these. */
const shape = ["type", "labels", "buckets"] as const;

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** @throws Error for a name, label or bucket list that Prometheus would refuse, or that is reserved */
function check({ name, labels, buckets }: Wanted): void {
  if (!metricName.test(name) || /^(process|nodejs)_/.test(name))
    throw new Error(`metric name ${name} cannot be used`);
  for (const label of labels) {
    const reserved = label === "service" || label === "le" || label.startsWith("__");
    if (reserved || !labelName.test(label))
      throw new Error(`label ${label} of metric ${name} cannot be used`);
  }
  if (new Set(labels).size !== labels.length) throw new Error(`metric ${name} has a label twice`);
  if (buckets.some((bound, i) => !Number.isFinite(bound) || (i > 0 && bound <= (buckets[i - 1] as number)))) {
    throw new Error(`buckets of metric ${name} do not rise`);
  }
}

export class MetricFamilies {
  readonly #service: string;
  readonly #maxSeries: number;
  readonly #onFolded: (name: string) => void;
  readonly #folded = new Set<string>();
  readonly #families = new Map<string, MetricFamily<Child>>();
  /** Children that hold numbers of other processes. The first number to arrive is copied, later ones are aggregated. */
  readonly #added = new Set<Child>();

  /** @param onFolded called once for each metric that has no room for further series */
  constructor(service: string, maxSeries: number, onFolded: (name: string) => void = () => {}) {
    this.#service = service;
    this.#maxSeries = maxSeries;
    this.#onFolded = onFolded;
    this.define(foldedFamily, makerOf(foldedFamily));
  }

  /**
   * The family of that name; created if it is new.
   * @param make creates a child from its labels in text form; the class must be the same for every family of one type
   * @throws Error when the family exists with another type, labels or buckets, or the definition is invalid
   */
  define<T extends Child>(wanted: Wanted, make: (labels: string) => T): MetricFamily<T> {
    const known = this.#families.get(wanted.name);
    if (known !== undefined) {
      if (!this.#fits(wanted))
        throw new Error(`metric ${wanted.name} exists with another type, labels or buckets`);
      // The same type, so the same class of children.
      return known as MetricFamily<T>;
    }
    check(wanted);
    const made = new MetricFamily(
      {
        ...wanted,
        service: this.#service,
        maxSeries: this.#maxSeries,
        onFolded: (name) => this.#fold(name),
      },
      make,
    );
    this.#families.set(wanted.name, made);
    return made;
  }

  /** Removes the series of something that no longer exists. */
  forget(name: string, values: readonly string[]): void {
    this.#families.get(name)?.forget(values);
  }

  #fold(name: string): void {
    if (name === foldedFamily.name) return;
    this.define(foldedFamily, (labels) => new CounterChild(foldedFamily.name, labels))
      .child([name])
      .inc();
    if (this.#folded.has(name)) return;
    this.#folded.add(name);
    this.#onFolded(name);
  }

  /** @param open renders OpenMetrics instead of the Prometheus text format */
  render(text: string[], open = false): void {
    for (const family of this.#families.values()) family.render(text, open);
  }

  snapshot(): FamilySnapshot[] {
    return [...this.#families.values()].map((family) => {
      const { name, help, type, labels, buckets, aggregation } = family.options;
      const series = [...family.series()].map(({ values, child }) => ({
        values: [...values],
        cells: child.cells,
        ...(child.exemplars !== undefined && { exemplars: child.exemplars }),
      }));
      return { name, help, type, labels: [...labels], buckets: [...buckets], aggregation, series };
    });
  }

  /**
   * Adds the snapshot of another process. Past the bound on series, new ones count as `other`.
   * @returns names of the families left out because they exist here with another type, labels or buckets; plugins of
   * others may define them differently in each process
   */
  add(snapshot: readonly FamilySnapshot[]): string[] {
    const leftOut: string[] = [];
    for (const { series, ...wanted } of snapshot) {
      if (!this.#fits(wanted)) {
        leftOut.push(wanted.name);
        continue;
      }
      const family = this.define(wanted, makerOf(wanted));
      const aggregation = wanted.type === "gauge" ? wanted.aggregation : "sum";
      for (const { values, cells, exemplars } of series) {
        const child = family.child(values);
        if (this.#added.has(child)) combine(child.cells, cells, aggregation);
        else child.cells.set(cells);
        if (exemplars !== undefined) child.exemplars = latest(child.exemplars, exemplars);
        this.#added.add(child);
      }
    }
    return leftOut;
  }

  #fits(wanted: Wanted): boolean {
    const known = this.#families.get(wanted.name);
    return (
      known === undefined ||
      shape.every((key) => JSON.stringify(known.options[key]) === JSON.stringify(wanted[key]))
    );
  }
}

function combine(into: Float64Array, from: Float64Array, aggregation: Aggregation): void {
  for (const [i, value] of from.entries()) {
    const before = into[i] as number;
    into[i] = aggregation === "sum" ? before + value : Math[aggregation](before, value);
  }
}

type Exemplars = NonNullable<Child["exemplars"]>;

function latest(one: Exemplars | undefined, two: Exemplars): Exemplars {
  return two.map((each, i) => ((one?.[i]?.atMs ?? 0) > (each?.atMs ?? 0) ? one?.[i] : each));
}

function makerOf({ name, type, buckets }: Wanted): (labels: string) => Child {
  if (type === "counter") return (labels) => new CounterChild(name, labels);
  if (type === "gauge") return (labels) => new GaugeChild(name, labels);
  const shared = new Buckets(buckets);
  return (labels) => new HistogramChild(name, labels, shared);
}
