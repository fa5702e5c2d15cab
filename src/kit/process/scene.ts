// Runs a real sidecar with the plugin in its chain, for fault tests. It wraps the plugin's definition, so that a hook
// can be broken and set-ups are counted.
import { setTimeout as wait } from "node:timers/promises";
import type { Hooks, PluginDefinition } from "../../plugin-api/contract.ts";
import { startSidecar, type TestSidecar, type TestSidecarOptions } from "../../testing/sidecar.ts";
import type { Example } from "./example.ts";
import type { LoadedPlugin } from "./loaded.ts";

export type HookName = "onRequest" | "onResponse" | "onError" | "onComplete";
export interface BrokenHook {
  readonly hook: HookName;
  readonly how: "throws" | "hangs";
}

/** The status; a text says why there is none. */
export type Status = number | string;

const hangLimitMs = 50;
/** How long to wait for the service: a silent one is given up soon. */
const serviceLimitMs = 500;
/** Longest wait for an answer that should come at once. */
const answerLimitMs = 8_000;

export class Scene implements AsyncDisposable {
  readonly #example: Example;
  readonly #name: string;
  sidecar!: TestSidecar;
  /** The hook that is broken now; undefined = none. */
  broken: BrokenHook | undefined;
  /** The hooks that the plugin has. */
  readonly hooks = new Set<HookName>();
  setups = 0;
  closes = 0;
  inits = 0;
  disposes = 0;

  private constructor(example: Example, name: string) {
    this.#example = example;
    this.#name = name;
  }

  /** Rejects when the plugin cannot be set up. */
  static async of(
    { definition, extension, env }: LoadedPlugin,
    example: Example,
    options: Pick<TestSidecarOptions, "upstream" | "redisUrl">,
  ): Promise<Scene> {
    const scene = new Scene(example, extension.name);
    const plugins = [scene.#watched(definition)];
    const settings = { ...env, OUTRIGGER_UPSTREAM_TIMEOUT_MS: String(serviceLimitMs) };
    scene.sidecar = await startSidecar({ ...options, env: settings, plugins, policy: scene.policy() });
    if ((await scene.status("readyz")) === 200) return scene;
    const refused = scene.sidecar.lines.find(({ msg }) => String(msg).startsWith("policy refused"));
    await scene.sidecar.stop();
    throw new Error(`the sidecar does not take it: ${JSON.stringify(refused?.["problems"] ?? "not ready")}`);
  }

  policy(more: object = {}): Record<string, unknown> {
    const name = this.#name;
    return { plugins: ["logging", name], pluginConfig: { [name]: this.#example.options }, ...more };
  }

  /** Sends the example's request. @returns its status */
  async ask(): Promise<Status> {
    const { method, path, headers } = this.#example.request;
    try {
      const signal = AbortSignal.timeout(answerLimitMs);
      const response = await fetch(`${this.sidecar.url}${path}`, {
        method,
        headers,
        signal,
        redirect: "manual",
      });
      await response.arrayBuffer();
      return response.status;
    } catch (error) {
      return (error as Error).name === "TimeoutError" ? `no answer in ${answerLimitMs} ms` : "no answer";
    }
  }

  /** Hooks of the plugin that have failed so far. */
  async failedHooks(): Promise<string[]> {
    const lines = (await this.sidecar.metrics()).split("\n");
    const errors = lines.filter(
      (line) => line.startsWith("outrigger_plugin_errors_total{") && !line.endsWith(" 0"),
    );
    const own = errors.filter((line) => line.includes(`plugin="${this.#name}"`));
    return own.map((line) => /phase="(\w+)"/.exec(line)?.[1] ?? line);
  }

  async status(endpoint: "livez" | "readyz"): Promise<number> {
    return (await fetch(`${this.sidecar.adminUrl}/${endpoint}`)).status;
  }

  /** Number of requests that have ended, in whatever way. */
  get ended(): number {
    return this.sidecar.lines.filter(({ msg }) => msg === "request").length;
  }

  /** @returns whether the check came true within the limit (milliseconds) */
  async until(check: () => boolean | Promise<boolean>, limitMs = 5_000): Promise<boolean> {
    const endsMono = performance.now() + limitMs;
    while (!(await check())) {
      if (performance.now() > endsMono) return false;
      await wait(10);
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sidecar.stop();
  }

  #watched(definition: PluginDefinition): PluginDefinition {
    return {
      ...definition,
      init: (services) => {
        this.inits += 1;
        return definition.init?.(services);
      },
      dispose: async (state) => {
        await definition.dispose?.(state);
        this.disposes += 1;
      },
      setup: async (input) => {
        const hooks = await definition.setup(input);
        this.setups += 1;
        return this.#breakable(hooks);
      },
    };
  }

  #breakable(hooks: Hooks): Hooks {
    const names = (["onRequest", "onResponse", "onError", "onComplete"] as const).filter(
      (name) => hooks[name] !== undefined,
    );
    for (const name of names) this.hooks.add(name);
    const instead = Object.fromEntries(names.map((name) => [name, this.#hook(hooks, name)]));
    const limits = {};
    for (const name of names) Object.defineProperty(limits, name, { get: () => this.#limit(hooks, name) });
    return Object.assign(Object.create(hooks) as Hooks, instead, {
      close: async () => {
        await hooks.close?.();
        this.closes += 1;
      },
      timeLimitMs: limits,
    });
  }

  #hook(hooks: Hooks, name: HookName): (...given: never[]) => unknown {
    const own = hooks[name] as (...given: never[]) => unknown;
    return (...given) => {
      if (this.broken?.hook !== name) return own.apply(hooks, given);
      if (this.broken.how === "throws") throw new Error("the fault that plugin test makes");
      return new Promise(() => {});
    };
  }

  #limit(hooks: Hooks, name: HookName): number | undefined {
    const own = name === "onComplete" ? undefined : hooks.timeLimitMs?.[name];
    return this.broken?.hook === name ? hangLimitMs : own;
  }
}
