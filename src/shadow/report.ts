// What a candidate would have done otherwise, counted beside the policy in force: by route, plugin and kind, each with a
// few requests to look at. Bounded, and without anything that a caller must keep to itself.
import { z } from "zod";

/**
 * `refused` = it would refuse what passed, `allowed` = the other way round, `status` = another answer, `route` = another
 * route takes it, `upstream` = another service or path is asked, `request-fields` = the service gets other fields,
 * `unknown` = nobody can tell without doing it.
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
  /** The plugin that answered, `sidecar` where none did; null = the service did. */
  by: shortText.nullable(),
  /** Of whoever answered; of the service's answer it says nothing. */
  status: z.int(),
});

const maxMethod = 64;
const maxAbout = 200;

const sample = z.strictObject({
  /** What `outrigger explain` and the access log know it by. */
  requestId: z.string().max(128),
  method: z.string().max(maxMethod),
  /** Of issuer and user, the same for one caller in one shadow run; "" = nobody known. */
  caller: z.string().max(32),
  was: answer,
  /** null = nobody can tell. */
  becomes: answer.nullable(),
  /** Names of the fields, what is lacking to tell, or both services. */
  about: z.array(z.string().max(maxAbout)).max(10).readonly(),
});
export type Sample = z.output<typeof sample>;

const count = z.int().min(0);
const row = z.strictObject({
  route: shortText,
  /** "" = no plugin alone. */
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
  /** Requests that went through the candidate, too. */
  compared: count,
  /** Of these, those that would have gone as they did. */
  same: count,
  /** Chosen, but there was no time for them. */
  dropped: count,
  /** Chosen, but there is nothing to compare: upgrades, clients that left, answers by circumstance. */
  skipped: count,
  /** The candidate came to no answer in time. */
  failed: count,
  /** Of rows for which there was no place. */
  further: count,
  /** Workers that ended meanwhile: of what each counted in its last second nothing is told. Absent = none. */
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

/** What is longer than a reader takes would lose the whole report. */
const short = (text: string): string => text.slice(0, maxText);
const shortened = ({ route, by, status }: Sample["was"]): Sample["was"] => ({
  route: route && short(route),
  by: by && short(by),
  status,
});

/** What is counted in a process, or of several. */
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

  /** @param sample of the request, but for what differs */
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

  /** Most frequent first. */
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
