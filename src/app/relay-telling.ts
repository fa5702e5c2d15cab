// Reports the state of a relay in log, metrics and health.
import type { Check } from "../admin/readiness.ts";
import type { QuotaLeasesOptions } from "../plane/relay/quota-leases.ts";
import type { Relay, RelayOptions } from "../plane/relay/relay.ts";
import type { Counter, Gauge } from "../plugin-api/telemetry.ts";
import type { Telemetry } from "../telemetry/process.ts";

/** /readyz fails when the last successful look is longer ago than this. */
const staleMs = 30_000;

/** `source`: the region that is followed; `target`: this region. */
export type End = "source" | "target";

export class RelayTelling {
  readonly #logger: Telemetry["logger"];
  readonly #up: Readonly<Record<End, Gauge>>;
  readonly #writes: (kind: string) => { inc(): void };
  readonly #permits: Readonly<Record<"leased" | "returned", Counter>>;
  readonly #held: Readonly<Record<"refused" | "diverged", Gauge>>;
  readonly #kinds = new Map<string, "refused" | "diverged">();
  #upNow: Record<End, boolean> = { source: false, target: false };
  #roundMono: number | undefined;
  readonly #startMono = performance.now();
  #quotaProblem: string | undefined;
  #problem: string | undefined = "has not looked yet";

  constructor({ logger, metrics }: Telemetry) {
    this.#logger = logger;
    const up = metrics.gauge("outrigger_relay_up", "Whether the Redis at that end of the relay answers", [
      "end",
    ]);
    this.#up = { source: up("source"), target: up("target") };
    this.#writes = metrics.counter("outrigger_relay_writes_total", "What the relay wrote to its region", [
      "kind",
    ]);
    const held = metrics.gauge(
      "outrigger_relay_held",
      "Documents of the source that the relay does not write: refused, or diverged (the region has its own)",
      ["why"],
    );
    this.#held = { refused: held("refused"), diverged: held("diverged") };
    const permits = metrics.counter(
      "outrigger_relay_quota_permits_total",
      "Permits of quotas over regions that the relay leased from the source, and gave back to it",
      ["act"],
    );
    this.#permits = { leased: permits("leased"), returned: permits("returned") };
    const lag = metrics.gauge(
      "outrigger_relay_lag_seconds",
      "Time since the region was last seen to have what the source has",
    )();
    for (const gauge of [...Object.values(this.#up), ...Object.values(this.#held)]) gauge.set(0);
    metrics.onRender(() => lag.set(this.lagSeconds));
  }

  get lagSeconds(): number {
    return (performance.now() - (this.#roundMono ?? this.#startMono)) / 1_000;
  }

  begins(from: string, to: string, isChecked: boolean): void {
    this.#logger.info({ from, to }, "relay: follows the policy of another region");
    if (!isChecked)
      this.#logger.warn(
        {},
        "OUTRIGGER_POLICY_KEYS is not set: whatever the source holds is relayed, whoever wrote it",
      );
  }

  handlers(): Pick<RelayOptions, "onWritten" | "onTold" | "onRound"> {
    return {
      onWritten: (kind, name, revision) => {
        this.#writes(kind).inc();
        this.#logger.info({ kind, name, revision }, "relay: written to this region");
      },
      onTold: (name, told) => {
        if (told === undefined) this.#kinds.delete(name);
        else this.#kinds.set(name, told.kind);
        const kinds = [...this.#kinds.values()];
        for (const kind of ["refused", "diverged"] as const)
          this.#held[kind].set(kinds.filter((each) => each === kind).length);
        if (told === undefined) this.#logger.info({ name }, "relay: goes on");
        else this.#logger.warn({ name, problem: told.message }, `relay: ${told.kind}`);
      },
      onRound: (problem) => {
        if (problem === undefined) this.#roundMono = performance.now();
        else if (problem !== this.#problem)
          this.#logger.warn({ problem }, "relay: cannot compare the regions; this one keeps what it has");
        this.#problem = problem;
      },
    };
  }

  quotaHandlers(): Pick<QuotaLeasesOptions, "onLeased" | "onReturned" | "onProblem"> {
    return {
      onLeased: (permits) => this.#permits.leased.inc(permits),
      onReturned: (permits) => this.#permits.returned.inc(permits),
      onProblem: (problem) => {
        this.#quotaProblem = problem;
        if (problem === undefined) this.#logger.info({}, "relay: leases quotas over regions");
        else
          this.#logger.warn(
            { problem },
            "relay: quotas over regions are not leased; this region has its share",
          );
      },
    };
  }

  connected(end: End, up: boolean, reason: string): void {
    if (this.#upNow[end] === up) return;
    this.#upNow = { ...this.#upNow, [end]: up };
    this.#up[end].set(up ? 1 : 0);
    if (up) this.#logger.info({ end }, "relay: Redis is connected");
    else this.#logger.warn({ end, reason }, "relay: Redis is out of reach");
  }

  failed(error: unknown): void {
    this.#logger.error({ err: error }, "a handler of Redis changes failed");
  }

  checks(): Check[] {
    const lag = `${this.lagSeconds.toFixed(1)} s since both regions were last seen to agree`;
    const isLate = this.#roundMono === undefined || this.lagSeconds * 1_000 > staleMs;
    const problem = this.#problem === undefined ? "" : `; ${this.#problem}`;
    return [{ name: "relay", ok: !isLate, detail: lag + problem }];
  }

  state(relay: Relay): object {
    return {
      up: this.#upNow,
      lagSeconds: this.lagSeconds,
      problem: this.#problem ?? null,
      quotaProblem: this.#quotaProblem ?? null,
      held: Object.fromEntries(relay.told),
    };
  }
}
