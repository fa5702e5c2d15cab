// Runs drills on this sidecar: one at a time, across all its processes. A timer in the sidecar ends each.
import { randomInt } from "node:crypto";
import { AdminProblem } from "../admin/answer.ts";
import type { Check } from "../admin/readiness.ts";
import type { DrillSource } from "../admin/drill.ts";
import type { Drill } from "../drills/drill.ts";
import type { DrillReport, DrillStatus } from "../drills/status.ts";
import { type Fault, faultForms, maxDrillMs, parseFault } from "../drills/fault.ts";
import { parseDuration } from "../language/duration.ts";
import type { Gauge } from "../plugin-api/telemetry.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { declaredFailures } from "./declared-failures.ts";
import { countsOf, drilledRoutes } from "./drill-report.ts";
import type { DataPlane } from "./governed.ts";
import type { ProcessContext } from "./process-context.ts";

interface Running {
  readonly id: number;
  readonly fault: string;
  readonly forMs: number;
}

/** How long to wait before counting, so that exchanges under way at the end can still be answered. */
const settleMs = 300;

export class Drills<Compiled extends object> implements DrillSource {
  readonly #context: ProcessContext;
  readonly #data: Pick<DataPlane<Compiled>, "tellDrill" | "metricsSnapshots" | "plugins">;
  readonly #drill: Drill;
  readonly #gauge: (...values: string[]) => Gauge;
  readonly #policies = new WeakMap<Compiled, EffectivePolicy>();
  #policy: EffectivePolicy | undefined;
  #running: Running | undefined;
  #last: DrillReport | undefined;
  /**
   * Starts at a random id: with the ids of an earlier process, a caller that waits for a report would take another
   * drill's report for it.
   */
  #ids = randomInt(2 ** 40);
  /** Id of the drill that was ended before it began. */
  #endedEarly = 0;

  /** @returns undefined when drills are off */
  static of<Compiled extends object>(
    context: ProcessContext,
    data: DataPlane<Compiled>,
  ): Drills<Compiled> | undefined {
    return context.drill && new Drills(context, data, context.drill);
  }

  private constructor(context: ProcessContext, data: DataPlane<Compiled>, drill: Drill) {
    this.#context = context;
    this.#data = data;
    this.#drill = drill;
    this.#gauge = context.telemetry.metrics.gauge(
      "outrigger_drill_running",
      "Whether this sidecar behaves as if that failed, for a drill",
      ["fault"],
      "max",
    );
  }

  compiled(compiled: Compiled, policy: EffectivePolicy): void {
    this.#policies.set(compiled, policy);
  }

  swapped(compiled: Compiled): void {
    this.#policy = this.#policies.get(compiled);
  }

  status(): DrillStatus {
    const { service, instance } = this.#context.config;
    return { service, instance, running: this.shown(), last: this.#last ?? null };
  }

  /** null = no drill is running. */
  shown(): DrillStatus["running"] {
    return this.#running === undefined ? null : { ...this.#running, leftMs: this.#drill.leftMs };
  }

  get checks(): Check[] {
    if (this.#running === undefined) return [];
    const left = Math.ceil(this.#drill.leftMs / 1_000);
    return [{ name: "drill", ok: true, detail: `as if ${this.#running.fault}, for ${left} s more` }];
  }

  async begin(query: URLSearchParams, peer: string): Promise<DrillStatus> {
    const { fault, forMs } = this.#asked(query);
    // Set before the first await, so that from here on another drill is refused.
    const running = { id: ++this.#ids, fault: fault.text, forMs };
    this.#running = running;
    try {
      await this.#checkPlugin(fault);
      const before = countsOf(await this.#data.metricsSnapshots());
      if (this.#endedEarly === running.id) throw new AdminProblem(409, "It was ended before it began.");
      this.#start(fault, running, before, peer);
    } catch (error) {
      this.#running = undefined;
      throw error;
    }
    return this.status();
  }

  end(): void {
    this.#endedEarly = this.#running?.id ?? 0;
    this.#drill.end();
  }

  #asked(query: URLSearchParams): { readonly fault: Fault; readonly forMs: number } {
    const { instance } = this.#context.config;
    const named = query.get("instance");
    if (named !== null && named !== instance)
      throw new AdminProblem(409, `This sidecar is the instance ${instance}.`);
    const fault = parseFault(query.get("fault") ?? "");
    if (fault === undefined) throw new AdminProblem(400, `fault takes ${faultForms}.`);
    if (fault.kind.startsWith("redis-") && this.#context.store === undefined)
      throw new AdminProblem(400, "This sidecar has no Redis: REDIS_URL is unset.");
    const forMs = parseDuration(query.get("for") ?? "") ?? 0;
    if (forMs < 1_000 || forMs > maxDrillMs) throw new AdminProblem(400, "for takes 1s to 10m.");
    if (this.#running !== undefined)
      throw new AdminProblem(409, `A drill goes on: ${this.#running.fault}. DELETE /drill ends it.`);
    return { fault, forMs };
  }

  async #checkPlugin({ plugin }: Fault): Promise<void> {
    if (plugin === "" || (await this.#data.plugins()).some(({ name }) => name === plugin)) return;
    throw new AdminProblem(400, `No route of the policy in force has the plugin ${plugin}.`);
  }

  #start(fault: Fault, running: Running, before: ReturnType<typeof countsOf>, peer: string): void {
    const { telemetry, audit } = this.#context;
    const facts = { fault: running.fault, forMs: running.forMs, peer };
    telemetry.logger.warn(facts, "a drill begins: this sidecar behaves as if that failed");
    audit.change("drill", { ...facts, state: "begun" });
    this.#gauge(running.fault).set(1);
    const forget = this.#drill.onChange(() => {
      if (this.#drill.fault !== undefined) return;
      forget();
      this.#data.tellDrill?.(undefined);
      setTimeout(() => void this.#report(fault, running, before), settleMs).unref();
    });
    this.#drill.begin(fault, running.forMs);
    this.#data.tellDrill?.({ fault: running.fault, forMs: running.forMs });
  }

  /** Counts the answers and keeps the report. Never rejects. */
  async #report(fault: Fault, running: Running, before: ReturnType<typeof countsOf>): Promise<void> {
    const { telemetry, audit, registry } = this.#context;
    const { logger } = telemetry;
    try {
      const declared =
        this.#policy === undefined ? new Map() : declaredFailures(this.#policy, fault, registry);
      const after = countsOf(await this.#data.metricsSnapshots());
      this.#last = { ...running, routes: drilledRoutes(before, after, declared) };
    } catch (error) {
      logger.error({ err: error }, "what callers got during a drill cannot be counted");
    }
    this.#running = undefined;
    this.#gauge(running.fault).set(0);
    audit.change("drill", { fault: running.fault, state: "over" });
    logger.warn({ fault: running.fault, routes: this.#last?.routes }, "a drill is over");
  }
}
