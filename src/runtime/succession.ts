// Compares a plugin with the one that it replaces for some of the callers. If the new one does worse, its callers get
// the old one again.
import type { Clock, Logger } from "../plugin-api/services.ts";
import { added, type Distribution, distributionOf, quantile, total } from "./distribution.ts";
import type { HookMeasures, Phase } from "./hook-measures.ts";
import type { KnownPlugin } from "./known-plugin.ts";

type Member = Pick<KnownPlugin, "faults" | "measures"> & {
  readonly definition: Pick<KnownPlugin["definition"], "name" | "version">;
};

export interface SuccessionParts {
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Figures {
  readonly errors: number;
  readonly seconds: Distribution;
}

const windowMs = 10_000;
const betweenLooksMs = 500;
/**
 * The new plugin fails more if, within one window, at least `least` of its hooks failed, and their share is at least
 * `share` and at least `times` the share of the old one.
 */
const worseErrors = { least: 20, share: 0.05, times: 2 };
/**
 * The new plugin is slower if the p95 of its hooks is at least `times` that of the old one and `seconds` longer. Both
 * need `least` hooks in the window.
 */
const worseTime = { least: 256, times: 2, seconds: 0.001 };
const phases: readonly Phase[] = ["onRequest", "onResponse", "onError", "recheck", "onComplete"];

export class Succession {
  readonly #newer: Member;
  readonly #older: Member;
  readonly #parts: SuccessionParts;
  #lookedMono: number;
  #windowMono: number;
  #before: readonly [Figures, Figures] | undefined;

  constructor(newer: Member, older: Member, parts: SuccessionParts) {
    this.#newer = newer;
    this.#older = older;
    this.#parts = parts;
    this.#lookedMono = this.#windowMono = parts.clock.mono();
  }

  /** Whether the new plugin has yielded: its callers get the old one. */
  get isOver(): boolean {
    return this.#newer.faults.yielded;
  }

  /** Compares both since the window began. Call it often; it checks at most every `betweenLooksMs`. */
  look(): void {
    const nowMono = this.#parts.clock.mono();
    if (this.isOver || nowMono - this.#lookedMono < betweenLooksMs) return;
    this.#lookedMono = nowMono;
    const now = [figuresOf(this.#newer.measures()), figuresOf(this.#older.measures())] as const;
    const before = this.#before;
    const isFull = nowMono - this.#windowMono >= windowMs;
    if (before !== undefined) {
      const newer = since(before[0], now[0]);
      const older = since(before[1], now[1]);
      const why = failsMore(newer, older) ?? (isFull ? takesLonger(newer, older) : undefined);
      if (why !== undefined) return this.#end(why);
    }
    if (before !== undefined && !isFull) return;
    this.#windowMono = nowMono;
    this.#before = now;
  }

  #end(why: string): void {
    const { name: plugin, version } = this.#newer.definition;
    const { name: other } = this.#older.definition;
    this.#newer.faults.yield(`it does worse than "${other}", which has its callers again: ${why}`);
    this.#parts.logger.error(
      { plugin, version, replaces: other, reason: why },
      "plugin does worse than the one that it replaces: its callers get that one until a policy names another digest",
    );
  }
}

function figuresOf({ seconds, errors }: HookMeasures): Figures {
  return {
    errors: phases.reduce((sum, phase) => sum + errors[phase].value, 0),
    seconds: phases.map((phase) => distributionOf(seconds[phase])).reduce(added),
  };
}

function since(before: Figures, { errors, seconds }: Figures): Figures {
  const counts = seconds.counts.map((count, i) => count - (before.seconds.counts[i] ?? 0));
  return { errors: errors - before.errors, seconds: { bounds: seconds.bounds, counts } };
}

const shareOf = ({ errors, seconds }: Figures): number => errors / Math.max(1, total(seconds));

function failsMore(newer: Figures, older: Figures): string | undefined {
  const share = shareOf(newer);
  if (newer.errors < worseErrors.least || share < worseErrors.share) return undefined;
  if (share < shareOf(older) * worseErrors.times) return undefined;
  return `${newer.errors} of its ${total(newer.seconds)} hooks failed, and ${older.errors} of ${total(older.seconds)}`;
}

const milliseconds = (seconds: number): string => (seconds * 1_000).toFixed(1);

function takesLonger(newer: Figures, older: Figures): string | undefined {
  if (total(newer.seconds) < worseTime.least || total(older.seconds) < worseTime.least) return undefined;
  const [own, other] = [quantile(newer.seconds, 0.95) ?? 0, quantile(older.seconds, 0.95) ?? 0];
  if (own < other * worseTime.times || own - other < worseTime.seconds) return undefined;
  return `p95 of its hooks is ${milliseconds(own)} ms, and ${milliseconds(other)}`;
}
