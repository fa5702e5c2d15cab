// Finds the plugin at fault when something throws outside of any hook: a timer, a tick, an event of something a plugin
// started. Work that begins in a plugin's set-up or hooks runs in its async scope, so that a later throw can be
// attributed to it. AsyncResource costs 0.02 µs per hook; AsyncLocalStorage.run would cost 0.25 µs on Node 26.
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import type { Gauge, Logger, Metrics } from "../plugin-api/services.ts";

const owner = new AsyncLocalStorage<PluginFaults>();

/**
 * The plugin in whose scope the calling code runs. In a handler of uncaught exceptions: the plugin whose code threw.
 */
export function pluginAtFault(): PluginFaults | undefined {
  return owner.getStore();
}

/** Faults tolerated within the window; the next one quarantines the plugin. */
const maxFaults = 10;
const windowMs = 60_000;
const quarantineMs = 60_000;

/** The faults of one plugin in this process, over all its routes and snapshots. */
export class PluginFaults {
  readonly name: string;
  readonly #logger: Logger;
  readonly #quarantined: () => Gauge;
  readonly #recent: number[] = [];
  #untilMono = 0;
  #reason = "";
  /** What is wrong with it, if that is not enough for quarantine. */
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

  /**
   * From now on the plugin has a metric even while it is well. Versions that come and go get one only when they are
   * not.
   */
  show(): void {
    this.#quarantined().set(0);
  }

  /** The async scope for work of this plugin, shared by all its routes. */
  scope(): AsyncResource {
    return (this.#scope ??= owner.run(this, () => new AsyncResource("OutriggerPlugin")));
  }

  /**
   * Records an exception that no code of the plugin caught.
   * @returns whether to log it: a timer that always throws must not flood the log
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

  /** Whether its hooks are skipped for now, if it fails open. */
  isQuarantined(nowMono: number): boolean {
    if (this.#untilMono === 0) return this.#yielded;
    if (nowMono < this.#untilMono || this.#yielded) return true;
    this.#end();
    this.#logger.warn({ plugin: this.name }, "plugin is out of quarantine");
    return false;
  }

  /** @returns what an operator should know about it; undefined = nothing */
  trouble(nowMono: number): string | undefined {
    return this.isQuarantined(nowMono) ? this.#reason : this.concern;
  }

  /** @param reason a clause, for the log and for operators */
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

  /** Another plugin serves in its place until a policy brings it anew. @param reason a clause, for operators */
  yield(reason: string): void {
    this.#yielded = true;
    this.#reason = reason;
    this.#quarantined().set(1);
  }

  get yielded(): boolean {
    return this.#yielded;
  }

  /** Forgets concern, quarantine and yielding: no policy uses the plugin any more. */
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
