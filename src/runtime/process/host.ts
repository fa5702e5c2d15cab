// A plugin in a process of its own, over all lives of that process: started when a policy first needs it, started again
// when it dies, set up as before, and left alone when it keeps dying.
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

/** Of a start with all its set-ups. */
const startLimitMs = 8_000;

export class ProcessHost {
  readonly extension: Extension;
  readonly version: string;
  readonly program: string | undefined;
  readonly services: Services;
  readonly restarts: Restarts;
  readonly effects: Effects;
  /** The set-ups that routes of policies in force or to come have. */
  readonly #setUps = new Map<number, RouteSetUp>();
  #lastSetUp = 0;
  #lastExchange = 0;
  /** What its routes have declared; it holds while nothing runs that could say it again. */
  readonly #ownedFields = new Set<string>();
  readonly #headOnlyFields = new Set<string>();
  #life: PluginLife | undefined;
  /** With those that are being started. */
  readonly #lives = new Set<PluginLife>();
  #starting: Promise<PluginLife> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** How often it was started again. */
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

  /** The one that answers hooks. @throws PluginUnavailable while there is none */
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
   * @returns what it declares; while it is quarantined, when nothing runs, what its other set-ups have
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

  /** A client may not send its fields because it is down. */
  #known(): Declared {
    return {
      hooks: this.extension.package.manifest.hooks,
      ownedRequestFields: [...this.#ownedFields],
      headOnlyFields: [...this.#headOnlyFields],
    };
  }

  /** Its route is closed. */
  drop(id: number): void {
    this.#setUps.delete(id);
    this.#life?.process.send(["close", id]);
  }

  /** A number for an exchange that is shown to a process. */
  nextExchange(): number {
    this.#lastExchange += 1;
    return this.#lastExchange;
  }

  /**
   * Takes the request fields that the plugin declares its own, and those that it reads in heads.
   * @param others those that plugins of the same policy have declared so far
   * @throws Error for one that is another plugin's
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
    // Its exchanges are over; what it still does about their ends has the time of a hook.
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
    // One that never served is somebody's set-up, who hears of it, unless there are routes that wait for it.
    if (delayMs === undefined || (!wasServing && this.#setUps.size === 0)) return;
    this.#timer = setTimeout(() => {
      this.#running().catch(() => {});
    }, delayMs).unref();
  }
}
