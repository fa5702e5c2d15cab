// Runs a plugin in a process of its own, over all lives of that process. The host starts the process when a policy
// first needs it, and starts it again with the same set-ups when it dies. It stops doing so when the process keeps
// dying.
import type { Extension } from "../../extensions/entry.ts";
import type { RouteInfo, Services } from "../../plugin-api/contract.ts";
import { withinLimit } from "../../plugin-api/within-limit.ts";
import { PluginUnavailable } from "../hook-result.ts";
import { Restarts } from "../restarts.ts";
import { Effects } from "./effects.ts";
import { PluginLife, type RouteSetUp } from "./life.ts";
import { requestBodyBytes } from "./limits.ts";
import type { Declared } from "./protocol.ts";
import type { RequestLimits } from "./requests.ts";

/** Time limit of a start with all its set-ups. */
const startLimitMs = 8_000;

export class ProcessHost {
  readonly extension: Extension;
  readonly version: string;
  readonly program: string | undefined;
  readonly services: Services;
  readonly restarts: Restarts;
  readonly effects: Effects;
  /** The set-ups of the routes of all policies, in force or being prepared. */
  readonly #setUps = new Map<number, RouteSetUp>();
  #lastSetUp = 0;
  #lastExchange = 0;
  /** Fields that the plugin's routes have declared. Kept so that they are known while no process runs. */
  readonly #ownedFields = new Set<string>();
  readonly #headOnlyFields = new Set<string>();
  #life: PluginLife | undefined;
  /** All lives, including those being started. */
  readonly #lives = new Set<PluginLife>();
  #starting: Promise<PluginLife> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** How often the process was started again; -1 = it was never started. */
  started = -1;

  constructor(extension: Extension, version: string, services: Services, program?: string) {
    this.extension = extension;
    this.program = program;
    this.version = version;
    this.services = services;
    const { name: plugin, entry } = extension;
    const { logger, metrics } = services;
    this.restarts = new Restarts({
      plugin,
      version,
      perMinute: entry.limits.restartsPerMinute,
      logger,
      metrics,
    });
    this.effects = new Effects(plugin, services);
  }

  /** The life that answers hooks. @throws PluginUnavailable while there is none */
  get life(): PluginLife {
    if (this.#life !== undefined) return this.#life;
    const { restarts } = this;
    throw new PluginUnavailable(
      restarts.trouble ?? `its process is being started again: ${restarts.reason ?? "it has just ended"}`,
    );
  }

  get requestLimits(): RequestLimits {
    return { requestBytes: requestBodyBytes(this.extension) };
  }

  get cpuShare(): number | undefined {
    return this.#life?.cpuShare;
  }

  get memoryBytes(): number | undefined {
    return this.#life?.memoryBytes;
  }

  /**
   * Sets a route up. Rejects with what is wrong with the plugin or its options.
   * @returns what the route declares. While the plugin is quarantined nothing runs, and then it is what its other
   * set-ups declared
   */
  async setUp(options: unknown, route: RouteInfo): Promise<{ id: number; declared: Declared }> {
    this.#lastSetUp += 1;
    const setUp = { id: this.#lastSetUp, options, route };
    if (this.restarts.quarantined) {
      this.#setUps.set(setUp.id, setUp);
      return { id: setUp.id, declared: this.#known() };
    }
    const life = await this.#running();
    const declared = await life.setUp(setUp, startLimitMs);
    this.#setUps.set(setUp.id, setUp);
    return { id: setUp.id, declared: declared ?? this.#known() };
  }

  /** Used while the process is down: clients may not send the plugin's own fields then either. */
  #known(): Declared {
    return {
      hooks: this.extension.package.manifest.hooks,
      ownedRequestFields: [...this.#ownedFields],
      headOnlyFields: [...this.#headOnlyFields],
    };
  }

  /** Drops a set-up, because its route is closed. */
  drop(id: number): void {
    this.#setUps.delete(id);
    this.#life?.process.send(["close", id]);
  }

  /** @returns a number for an exchange that a process is shown */
  nextExchange(): number {
    this.#lastExchange += 1;
    return this.#lastExchange;
  }

  /**
   * Records the request fields that the plugin declares as its own, and those that it reads only in heads.
   * @param others fields that plugins of the same policy have declared so far
   * @throws Error for a field that belongs to another plugin
   */
  own({ ownedRequestFields, headOnlyFields }: Declared, others: ReadonlySet<string> = new Set()): void {
    for (const name of ownedRequestFields) {
      if (others.has(name) && !this.#ownedFields.has(name))
        throw new Error(`ownedRequestFields: "${name}" is another plugin's`);
      this.#ownedFields.add(name);
    }
    for (const name of headOnlyFields) this.#headOnlyFields.add(name);
  }

  completeFailed(error: unknown): void {
    if (error instanceof PluginUnavailable || this.#life === undefined) return;
    this.services.logger.error({ phase: "onComplete", err: error }, "plugin hook failed");
  }

  async dispose(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.restarts.close();
    // Its exchanges are over. The onComplete hooks still running get the time limit of a hook.
    const serving = this.#life;
    await serving?.process.calls.idle();
    await Promise.all([...this.#lives].map((life) => life.close()));
  }

  #running(): Promise<PluginLife> {
    if (this.#life !== undefined) return Promise.resolve(this.#life);
    clearTimeout(this.#timer);
    this.#starting ??= this.#start().finally(() => (this.#starting = undefined));
    return this.#starting;
  }

  async #start(): Promise<PluginLife> {
    if (this.#closed) throw new Error("the sidecar ends");
    this.started += 1;
    const life = new PluginLife(this, (reason) => this.#died(life, reason));
    this.#lives.add(life);
    try {
      const ready = life.ready([...this.#setUps.values()]);
      await withinLimit(ready, startLimitMs, `it did not start within ${startLimitMs} ms`);
    } catch (error) {
      life.process.kill(`it could not be started: ${(error as Error).message}`);
      throw error;
    }
    if (this.#closed || life.process.over) {
      await life.close();
      throw new Error(`its process is gone: ${this.restarts.reason ?? "the sidecar ends"}`);
    }
    this.#life = life;
    return life;
  }

  #died(life: PluginLife, reason: string): void {
    this.#lives.delete(life);
    if (this.#closed) return;
    const wasServing = this.#life === life;
    if (wasServing) this.#life = undefined;
    const delayMs = this.restarts.nextDelay(reason, this.services.clock.mono());
    const stderr = life.process.stderr === "" ? {} : { stderr: life.process.stderr };
    this.services.logger.error(
      { version: this.version, reason, ...(delayMs === undefined ? {} : { startsInMs: delayMs }), ...stderr },
      "plugin's process is gone: its requests get its fail mode",
    );
    // A process that never served was started for a set-up, whose caller hears of the failure. It starts again only if
    // routes wait for it.
    if (delayMs === undefined || (!wasServing && this.#setUps.size === 0)) return;
    this.#timer = setTimeout(() => {
      this.#running().catch(() => {});
    }, delayMs).unref();
  }
}
