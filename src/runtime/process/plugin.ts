// Implements the runtime `process`: runs JavaScript plugins of others in a child process. See README, "Plugins of
// others".
import { fieldKey } from "../../language/field-name.ts";
import type { Extension } from "../../extensions/entry.ts";
import { hookLimitMs } from "../../extensions/entry.ts";
import type { Hooks, RouteInfo } from "../../plugin-api/contract.ts";
import type { Exchange, ExchangeResponse, Outcome, Verdict } from "../../plugin-api/exchange.ts";
import { hookNames } from "../../plugin-api/hook-names.ts";
import { note } from "../../plugin-api/notes.ts";
import { type ExtensionDefinition, factsOf } from "../extension-definition.ts";
import { ExtensionFields } from "../extension-fields.ts";
import { quarantineMetric } from "../restarts.ts";
import { droppedMetric, sharedMetrics } from "./effects.ts";
import { ProcessHost } from "./host.ts";
import type { PluginProcess } from "./plugin-process.ts";
import type { Declared, HookName, HookSubject } from "./protocol.ts";
import { errorParts, exchangeFacts, lateFacts, outcomeSubject, responseSubject } from "./shown.ts";

/** @param program of the process, in one file; default: the sidecar's own */
export function createProcessPlugin(
  extension: Extension,
  program?: string,
): ExtensionDefinition<ProcessHost> {
  const facts = factsOf(extension);
  return {
    ...facts,
    needs: { ...facts.needs, metrics: [quarantineMetric, droppedMetric, ...sharedMetrics.keys()] },
    init: (services) => new ProcessHost(extension, facts.version, services, program),
    dispose: (host) => host.dispose(),
    exportState: (host) => host.life.exportState(),
    async importState(host, exported) {
      if (exported !== undefined) await host.life.importState(exported);
    },
    async setup({ options, route, state: host }) {
      const { id, declared } = await host.setUp(options, route);
      try {
        return new RouteHooks(host, id, route, declared).hooks();
      } catch (error) {
        host.drop(id);
        throw error;
      }
    },
    status: ({ restarts, started, memoryBytes, cpuShare }) => ({
      restarts: Math.max(0, started),
      quarantined: restarts.quarantined ? restarts.reason : undefined,
      memoryBytes,
      cpuShare,
    }),
  };
}

/** The process that has been shown an exchange, and the exchange's number there. */
interface Shown {
  readonly process: PluginProcess;
  readonly key: number;
}

/** The hooks of one route. Each call asks the plugin's process. */
class RouteHooks {
  readonly #host: ProcessHost;
  readonly #id: number;
  readonly #fields: ExtensionFields;
  readonly #declared: Declared;
  readonly #shown = note<Shown>("shown to a plugin's process");
  /** Whether the process keeps exchanges of this route between hooks. */
  readonly #keeps: boolean;

  constructor(host: ProcessHost, id: number, route: RouteInfo, declared: Declared) {
    this.#host = host;
    this.#id = id;
    const { needs, hooks } = host.extension.package.manifest;
    const { ownedRequestFields } = declared;
    // The process may declare no more hooks than the manifest, which the operator has seen.
    this.#declared = { ...declared, hooks: declared.hooks.filter((hook) => hooks.includes(hook)) };
    for (const name of ownedRequestFields) {
      if (!needs.writeFields.some((written) => fieldKey(written) === name))
        throw new Error(`ownedRequestFields: its manifest does not name "${name}" (needs.writeFields)`);
    }
    this.#keeps = this.#declared.hooks.length > 1;
    host.own(declared, route.ownedRequestFields);
    const own = new Set(ownedRequestFields);
    this.#fields = new ExtensionFields(needs, route.ownedRequestFields, own);
    for (const name of own) {
      const problem = this.#fields.ownProblem(name, route.secretNames);
      if (problem !== undefined) throw new Error(`ownedRequestFields: ${problem}`);
    }
  }

  hooks(): Hooks {
    const { hooks, ownedRequestFields, headOnlyFields } = this.#declared;
    const has = (hook: HookName): boolean => hooks.includes(hook);
    const timeMs = hookLimitMs(this.#host.extension.entry);
    return {
      ownedRequestFields,
      headOnlyFields,
      timeLimitMs: Object.fromEntries(hookNames.map((hook) => [hook, timeMs])),
      ...(has("onRequest") && { onRequest: (exchange) => this.#call("onRequest", exchange, null) }),
      ...(has("onResponse") && { onResponse: (exchange, response) => this.#response(exchange, response) }),
      ...(has("onError") && {
        onError: (exchange, error) => this.#call("onError", exchange, [errorParts(error)]),
      }),
      ...(has("recheck") && { recheck: (exchange) => this.#call("recheck", exchange, null) }),
      ...((this.#keeps || has("onComplete")) && {
        onComplete: (exchange, outcome) => this.#complete(exchange, outcome),
      }),
      health: () => this.#host.restarts.trouble,
      close: () => this.#host.drop(this.#id),
    };
  }

  async #response(exchange: Exchange, response: ExchangeResponse): Promise<void> {
    await this.#call("onResponse", exchange, responseSubject(response, this.#fields), response);
  }

  /** Runs onComplete, or tells the process to forget the exchange. Nothing waits for the result. */
  #complete(exchange: Exchange, outcome: Outcome): void {
    const shown = this.#shown.get(exchange);
    if (this.#declared.hooks.includes("onComplete")) {
      this.#call("onComplete", exchange, outcomeSubject(outcome)).catch((error: unknown) =>
        this.#host.completeFailed(error),
      );
    } else if (shown !== undefined && !shown.process.over) shown.process.send(["forget", shown.key]);
  }

  /** @throws PluginUnavailable while there is no process */
  #call(
    hook: HookName,
    exchange: Exchange,
    subject: HookSubject,
    response?: ExchangeResponse,
  ): Promise<Verdict> {
    const { process } = this.#host.life;
    let shown = this.#keeps ? this.#shown.get(exchange) : undefined;
    const isNew = shown?.process !== process;
    if (shown === undefined || isNew) {
      shown = { process, key: this.#host.nextExchange() };
      if (this.#keeps) this.#shown.set(exchange, shown);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Verdict>();
    const call = process.calls.add({
      hook,
      exchange,
      response,
      fields: this.#fields,
      startedMono: this.#host.services.clock.mono(),
      bodyReads: 0,
      signal: hook === "onComplete" ? undefined : exchange.signal,
      resolve,
      reject,
    });
    const facts = isNew ? exchangeFacts(exchange, this.#fields) : null;
    process.send(["hook", call, this.#id, shown.key, hook, facts, lateFacts(exchange), subject]);
    return promise;
  }
}
