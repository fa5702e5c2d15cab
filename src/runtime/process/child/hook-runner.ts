// Runs a plugin's hooks for the sidecar, and keeps its exchanges between hooks.
import type { GatewayError } from "../../../plugin-api/errors.ts";
import { textOf } from "../../../plugin-api/error-text.ts";
import type { Hooks, PluginDefinition } from "../../../plugin-api/contract.ts";
import { hooksOrClosed } from "../../../plugin-api/hook-names.ts";
import type { ExchangeResponse, Outcome, RouteInfo, Verdict } from "../../../plugin-api/exchange.ts";
import type {
  Declared,
  HookName,
  HookSubject,
  RouteFacts,
  ToProcess,
  ToSidecar,
  VerdictParts,
} from "../protocol.ts";
import { cut, type ErrorClass, errorOf, partsOfThrown } from "./errors.ts";
import { bodyParts, ChildExchange, ChildResponse, type ExchangeAsks } from "./exchange.ts";
import type { Loaded } from "./load-bundle.ts";

export interface HookRunnerParts extends ExchangeAsks {
  say(message: ToSidecar): void;
  readonly ErrorClass: ErrorClass;
}

type HookMessage = Extract<ToProcess, readonly ["hook", ...unknown[]]>;
type AnyHook = (exchange: ChildExchange, subject?: unknown) => unknown;

interface SetUp {
  readonly hooks: Hooks;
  readonly route: RouteInfo;
  /** Whether exchanges are kept, because more than one hook sees them. */
  readonly keeps: boolean;
}

export class HookRunner {
  readonly #parts: HookRunnerParts;
  readonly #setups = new Map<number, SetUp>();
  readonly #exchanges = new Map<number, ChildExchange>();
  readonly #running = new Map<number, ChildExchange>();

  constructor(parts: HookRunnerParts) {
    this.#parts = parts;
  }

  /** Sets up a route. Rejects with what is wrong with the options, or with the error of the plugin's own set-up. */
  async setUp(setup: number, loaded: Loaded, given: unknown, facts: RouteFacts): Promise<Declared> {
    const { definition, services, state } = loaded;
    const route: RouteInfo = {
      ...facts,
      secretNames: new Set(facts.secretNames),
      stripPrefix: facts.stripPrefix ?? undefined,
    };
    const options = optionsBy(definition, given);
    const { hooks: declared } = loaded.facts;
    const known = hooksOrClosed(await definition.setup({ options, services, state, route }), declared);
    const names = declared.filter((name) => typeof known[name] === "function");
    this.#setups.set(setup, { hooks: known, route, keeps: names.length > 1 });
    return {
      hooks: names,
      ownedRequestFields: [...(known.ownedRequestFields ?? [])],
      headOnlyFields: [...(known.headOnlyFields ?? [])],
    };
  }

  async close(setup: number): Promise<void> {
    const known = this.#setups.get(setup);
    this.#setups.delete(setup);
    await known?.hooks.close?.();
  }

  forget(exchange: number): void {
    this.#exchanges.delete(exchange);
  }

  cancel(call: number): void {
    this.#running.get(call)?.cancel();
    this.#running.delete(call);
  }

  run([, call, setup, key, hook, facts, late, subject]: HookMessage): void {
    const known = this.#setups.get(setup);
    if (known === undefined) return this.#threw(call, new Error("this route is not set up"));
    let exchange = this.#exchanges.get(key);
    if (facts !== null) {
      exchange = new ChildExchange(facts, known.route, this.#parts);
      if (known.keeps) this.#exchanges.set(key, exchange);
    }
    if (exchange === undefined) return this.#threw(call, new Error("this exchange is not known"));
    if (late !== null) exchange.learn(late);
    exchange.call = call;
    if (hook === "onComplete") this.#exchanges.delete(key);
    this.#call(call, exchange, known.hooks, hook, subject);
  }

  #call(call: number, exchange: ChildExchange, hooks: Hooks, hook: HookName, subject: HookSubject): void {
    try {
      const result = (hooks[hook] as AnyHook).call(hooks, exchange, this.#subject(exchange, hook, subject));
      if (!isThenable(result)) return this.#answer(call, exchange, hook, result);
      this.#running.set(call, exchange);
      Promise.resolve(result).then(
        (value) => this.#settled(call, () => this.#answer(call, exchange, hook, value)),
        (error: unknown) => this.#settled(call, () => this.#threw(call, error)),
      );
    } catch (error) {
      this.#threw(call, error);
    }
  }

  #settled(call: number, then: () => void): void {
    if (!this.#running.delete(call)) return;
    try {
      then();
    } catch (error) {
      this.#threw(call, error);
    }
  }

  #subject(
    exchange: ChildExchange,
    hook: HookName,
    subject: HookSubject,
  ): ExchangeResponse | GatewayError | Outcome | undefined {
    if (subject === null) return undefined;
    const { ErrorClass } = this.#parts;
    if (hook === "onResponse") {
      const [status, fields, origin, error] = subject as Extract<
        HookSubject,
        readonly [number, ...unknown[]]
      >;
      exchange.response = new ChildResponse(
        status,
        fields,
        origin,
        error === null ? undefined : errorOf(error, ErrorClass),
      );
      return exchange.response;
    }
    if (hook === "onError") return errorOf(subject[0] as never, ErrorClass);
    const [outcome] = subject as Extract<HookSubject, readonly [{ readonly status: number }]>;
    return { ...outcome, error: outcome.error === null ? undefined : errorOf(outcome.error, ErrorClass) };
  }

  #answer(call: number, exchange: ChildExchange, hook: HookName, value: unknown): void {
    if (hook === "onComplete") return this.#parts.say(["answer", call, null, null]);
    const verdict = hook === "onResponse" ? null : verdictParts(value as Verdict, this.#parts);
    this.#parts.say(["answer", call, verdict, exchange.takeChanges()]);
  }

  #threw(call: number, error: unknown): void {
    this.#parts.say(["thrown", call, cut(textOf(error), 1_000), partsOfThrown(error)]);
  }
}

/** Completes the options by the plugin's own schema. The sidecar has already applied the manifest's. */
function optionsBy({ options }: Partial<PluginDefinition>, given: unknown): unknown {
  return options === undefined ? given : options.parse(given);
}

function verdictParts(verdict: Verdict, asks: ExchangeAsks): VerdictParts {
  if (verdict === undefined || verdict === null) return null;
  if (verdict.action === "reject") {
    const error = partsOfThrown(verdict.error);
    if (error === null) throw new Error("the error of a reject is no GatewayError");
    return ["reject", error];
  }
  if (verdict.action !== "respond") throw new Error("a hook returned neither a respond nor a reject");
  const { status, fields = null, body } = verdict;
  return ["respond", status, fields, bodyParts(body, asks)];
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
