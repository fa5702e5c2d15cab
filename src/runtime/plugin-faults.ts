// Whose fault it is when something throws outside of any hook: a timer, a tick, an event of what a plugin started. Work
// that begins in a plugin's set-up or hooks runs in its scope (AsyncResource: 0.02 µs a hook, AsyncLocalStorage.run
// would be 0.25 on Node 26), so that what it throws later is known to be the plugin's.
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import type { Gauge, Logger, Metrics } from "../plugin-api/services.ts";

const owner = new AsyncLocalStorage<PluginFaults>();

/** The plugin in whose scope the code runs that asks; in a handler of uncaught exceptions: whose it was. */
export function pluginAtFault(): PluginFaults | undefined {
  return owner.getStore();
}

/** Faults taken within the window before the plugin is quarantined. */
const maxFaults = 10;
const windowMs = 60_000;
const quarantineMs = 60_000;

/** One plugin in this process, whatever its routes and snapshots. */
export class PluginFaults {
  readonly name: string;
  readonly #logger: Logger;
  readonly #quarantined: () => Gauge;
  readonly #recent: number[] = [];
  #untilMono = 0;
  #reason = "";
  /** What is wrong with it short of quarantine. */
  concern: string | undefined = undefined;
  #scope: AsyncResource | undefined;
  #yielded = false;

  constructor(plugin: { readonly name: string; readonly version: string }, logger: Logger, metrics: Metrics) {
    this.name = plugin.name;
    this.#logger = logger;
    const quarantined = metrics.gauge(
      "outrigger_plugin_quarantined",
      "Whether a plugin is left out: for what its timers and callbacks threw, or because it keeps dying",
      ["plugin", "version"],
      "max",
    );
    this.#quarantined = () => quarantined(plugin.name, plugin.version);
  }

  /** From now on it shows in the metrics, well or not: versions that come and go do when they are not. */
  show(): void {
    this.#quarantined().set(0);
  }

  /** A scope for work of this plugin: one for all its routes. */
  scope(): AsyncResource {
    return (this.#scope ??= owner.run(this, () => new AsyncResource("OutriggerPlugin")));
  }

  /**
   * It threw where nobody caught it.
   * @returns whether that is worth a line: a timer that always throws must not flood the log
   */
  threw(nowMono: number): boolean {
    while (this.#recent.length > 0 && (this.#recent[0] as number) <= nowMono - windowMs) this.#recent.shift();
    if (this.#recent.length >= maxFaults) {
      this.quarantine("its timers or callbacks keep throwing", nowMono);
      return false;
    }
    this.#recent.push(nowMono);
    return true;
  }

  /** Whether its hooks are left out for now, where it fails open. */
  isQuarantined(nowMono: number): boolean {
    if (this.#untilMono === 0) return this.#yielded;
    if (nowMono < this.#untilMono || this.#yielded) return true;
    this.#end();
    this.#logger.warn({ plugin: this.name }, "plugin is out of quarantine");
    return false;
  }

  /** What an operator should know of it; undefined = nothing. */
  trouble(nowMono: number): string | undefined {
    return this.isQuarantined(nowMono) ? this.#reason : this.concern;
  }

  /** @param reason a clause, for the log and for those who ask */
  quarantine(reason: string, nowMono: number): void {
    if (this.#untilMono === 0) {
      this.#quarantined().set(1);
      this.#logger.error(
        { plugin: this.name, reason, quarantineMs },
        `plugin is quarantined: ${reason}; where it fails open its hooks are left out`,
      );
    }
    this.#reason = reason;
    this.#untilMono = nowMono + quarantineMs;
  }

  /** Another one serves in its place until it comes anew. @param reason a clause, for those who ask */
  yield(reason: string): void {
    this.#yielded = true;
    this.#reason = reason;
    this.#quarantined().set(1);
  }

  get yielded(): boolean {
    return this.#yielded;
  }

  /** No policy has it any more. */
  withdraw(): void {
    if (this.#untilMono !== 0 || this.#yielded) this.#end();
    this.#yielded = false;
    this.concern = undefined;
  }

  #end(): void {
    this.#untilMono = 0;
    this.#quarantined().set(0);
  }
}
