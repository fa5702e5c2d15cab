// Counts what a candidate would have done differently from the policy in force: by route, plugin and kind, each with a
// few sample requests. The report is bounded and holds no secrets of callers.
import { z } from "zod";

/**
 * `refused` = it would refuse a request that passed, `allowed` = the opposite, `status` = another answer, `route` =
 * another route, `upstream` = another service or path, `request-fields` = other fields for the service, `unknown` =
 * impossible to tell without an effect.
 */
const differenceKinds = [
  "refused",
  "allowed",
  "status",
  "route",
  "upstream",
  "request-fields",
  "unknown",
] as const;
export type DifferenceKind = (typeof differenceKinds)[number];

const maxText = 2_048;
const shortText = z.string().max(maxText);
const answer = z.strictObject({
  route: shortText.nullable(),
  /** The plugin that answered; `sidecar` if no plugin did; null = the service answered. */
  by: shortText.nullable(),
  /** Status of a plugin's or the sidecar's answer; meaningless if the service answered. */
  status: z.int(),
});

const maxMethod = 64;
const maxAbout = 200;

const sample = z.strictObject({
  /** The id that `outrigger explain` and the access log use. */
  requestId: z.string().max(128),
  method: z.string().max(maxMethod),
  /** Hash of issuer and user, the same for one caller within a shadow run; "" = unknown caller. */
  caller: z.string().max(32),
  was: answer,
  /** null = unknown. */
  becomes: answer.nullable(),
  /** Names of the fields, the unknown facts, or both services. */
  about: z.array(z.string().max(maxAbout)).max(10).readonly(),
});
export type Sample = z.output<typeof sample>;

const count = z.int().min(0);
const row = z.strictObject({
  route: shortText,
  /** "" = not one plugin alone. */
  plugin: shortText,
  kind: z.enum(differenceKinds),
  count,
  samples: z.array(sample).max(10).readonly(),
});
export type DifferenceRow = z.output<typeof row>;

export const maxRows = 200;
const maxSamplesOfRow = 3;
const maxSamples = 60;

export const shadowReport = z.strictObject({
  /** Requests that also went through the candidate. */
  compared: count,
  /** Compared requests without a difference. */
  same: count,
  /** Chosen requests for which there was no time. */
  dropped: count,
  /** Chosen requests that cannot be compared: upgrades, clients that left, answers by circumstance. */
  skipped: count,
  /** Requests for which the candidate had no answer in time. */
  failed: count,
  /** Differences in rows that did not fit. */
  further: count,
  /** Workers that ended during the run; their counts of the last second are lost. Absent = none. */
  endedWorkers: count.exactOptional(),
  rows: z.array(row).max(maxRows).readonly(),
});
export type ShadowReport = z.output<typeof shadowReport>;

export interface Difference {
  readonly route: string;
  readonly plugin: string;
  readonly kind: DifferenceKind;
  readonly about: readonly string[];
}

/** A text that is too long for the reader would make it refuse the whole report. */
const short = (text: string): string => text.slice(0, maxText);
const shortened = ({ route, by, status }: Sample["was"]): Sample["was"] => ({
  route: route && short(route),
  by: by && short(by),
  status,
});

/** The counts of one process, or of several. */
export class ShadowCounts {
  readonly #rows = new Map<string, { -readonly [Name in keyof DifferenceRow]: DifferenceRow[Name] }>();
  #samples = 0;
  compared = 0;
  same = 0;
  dropped = 0;
  skipped = 0;
  failed = 0;
  #further = 0;
  #endedWorkers = 0;

  /** @param told the request's sample, without `about` */
  add({ route, plugin, kind, about }: Difference, told: Omit<Sample, "about">): void {
    const one: Sample = {
      ...told,
      method: told.method.slice(0, maxMethod),
      was: shortened(told.was),
      becomes: told.becomes && shortened(told.becomes),
      about: about.slice(0, 10).map((text) => text.slice(0, maxAbout)),
    };
    this.#add({ route: short(route), plugin: short(plugin), kind, count: 1, samples: [one] });
  }

  addAll(other: ShadowReport): void {
    this.compared += other.compared;
    this.same += other.same;
    this.dropped += other.dropped;
    this.skipped += other.skipped;
    this.failed += other.failed;
    this.#further += other.further;
    this.#endedWorkers += other.endedWorkers ?? 0;
    for (const each of other.rows) this.#add(each);
  }

  /** @returns the report, most frequent rows first */
  read(): ShadowReport {
    const { compared, same, dropped, skipped, failed } = this;
    const rows = [...this.#rows.values()].toSorted((a, b) => b.count - a.count);
    const ended = this.#endedWorkers > 0 ? { endedWorkers: this.#endedWorkers } : {};
    return { compared, same, dropped, skipped, failed, further: this.#further, ...ended, rows };
  }

  #add({ route, plugin, kind, count: more, samples }: DifferenceRow): void {
    const key = JSON.stringify([route, plugin, kind]);
    let known = this.#rows.get(key);
    if (known === undefined) {
      if (this.#rows.size === maxRows) {
        this.#further += more;
        return;
      }
      this.#rows.set(key, (known = { route, plugin, kind, count: 0, samples: [] }));
    }
    known.count += more;
    const room = Math.min(maxSamplesOfRow - known.samples.length, maxSamples - this.#samples);
    if (room <= 0) return;
    const taken = samples.slice(0, room);
    known.samples = [...known.samples, ...taken];
    this.#samples += taken.length;
  }
}
