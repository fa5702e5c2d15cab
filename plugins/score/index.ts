// The score plugin: runs a model of decision trees on each request in this process, and acts on the score.
import {
  definePlugin,
  type Exchange,
  fieldKey,
  type Hooks,
  type RequestField,
  type RouteInfo,
  type Services,
} from "../../src/plugin-api/contract.ts";
import { compileActs } from "./acts.ts";
import { CallerRates } from "./caller-rates.ts";
import { Drift } from "./drift.ts";
import { compileFeatures, createCallerOf, rateFeature } from "./features.ts";
import { type LoadedModel, LoadedModels } from "./loaded-models.ts";
import { drift, type Result, scoredTotal, scores } from "./metrics.ts";
import type { Artefact } from "./models/artefact.ts";
import { scoreOf } from "./models/model.ts";
import { fieldsOf, type ScoreOptions, scoreOptions } from "./options.ts";

/** Estimated µs per node: 10 ns measured on machines of 2024, rounded up. */
const microsAStep = 0.012;

interface State {
  readonly models: LoadedModels;
  /** `rates` counts all requests, `limited` only those that a limit applies to. */
  readonly rates: CallerRates;
  readonly limited: CallerRates;
}

/** @returns the score; undefined when the model gives no number */
type Ask = (exchange: Exchange) => number | undefined;
const unscored: Ask = () => undefined;

/** @throws Error when options and model do not fit */
function compileAsk(
  { features, budgetMicros }: ScoreOptions,
  { model, training }: Artefact,
  { name, services, rateOf }: { name: string; services: Services; rateOf: (exchange: Exchange) => number },
): Ask {
  const micros = Math.ceil(model.forest.steps * microsAStep);
  if (micros > budgetMicros)
    throw new Error(
      `budgetMicros: the model's trees take about ${micros} µs a request, and ${budgetMicros} are allowed`,
    );
  const fill = compileFeatures(features, model.features, rateOf);
  const row = new Float64Array(model.features.length);
  const gauge = drift(services.metrics);
  const followed = new Drift(model.features, training, (feature) => gauge(name, feature));
  const values = scores(services.metrics)(name);
  return function ask(exchange) {
    fill(exchange, row);
    followed.saw(row);
    const score = scoreOf(model, row);
    if (!Number.isFinite(score)) return undefined;
    values.observe(score);
    return score;
  };
}

/** @returns a function that asks the model as soon as it is loaded, and gives no score before */
function createLateAsk(loaded: LoadedModel, compile: (artefact: Artefact) => Ask, services: Services): Ask {
  // If the model is loaded, compile now: options that do not fit it must refuse the policy.
  let ask = loaded.artefact === undefined ? undefined : compile(loaded.artefact);
  return (exchange) => {
    if (ask === undefined && loaded.artefact !== undefined) {
      try {
        ask = compile(loaded.artefact);
      } catch (error) {
        services.logger.error({ err: error }, "requests are not scored: options and model do not fit");
        ask = () => undefined;
      }
    }
    return ask?.(exchange);
  };
}

function hooksOf(
  options: ScoreOptions,
  ask: Ask,
  parts: { services: Services; route: RouteInfo; state: State },
): Hooks {
  const { services, route, state } = parts;
  const counter = scoredTotal(services.metrics);
  const counters = new Map<Result, ReturnType<typeof counter>>();
  for (const result of ["scored", "unscored", "tag", "limit", "reject"] as const)
    counters.set(result, counter(route.pattern, result, String(options.shadow)));
  const count = (result: Result): void => counters.get(result)?.inc();
  const act = compileActs({ options, rates: state.limited, callerOf: createCallerOf(), count });
  const { field } = options.output;
  return {
    onRequest(exchange) {
      const score = ask(exchange);
      if (score === undefined) return count("unscored");
      count("scored");
      exchange.score = score;
      exchange.explain("score", score);
      if (field !== undefined && !options.shadow) exchange.request.fields.set(field, score.toPrecision(6));
      return act(exchange, score);
    },
  };
}

/** Fields that tell the service something, read from options that are not validated yet. */
function requestFields(options: unknown): RequestField[] {
  const { output, tagField, act } = Object(options) as Record<string, unknown>;
  const { field } = Object(output) as { field?: unknown };
  const tags = Array.isArray(act) && act.some((each) => (Object(each) as { do?: unknown }).do === "tag");
  return [
    ...(typeof field === "string" ? [{ name: field, path: ["output", "field"], tellsWho: true }] : []),
    ...(tags
      ? [{ name: typeof tagField === "string" ? tagField : "x-risk", path: ["tagField"], tellsWho: true }]
      : []),
  ];
}

export const score = definePlugin({
  name: "score",
  version: "1.0.0",
  apiVersion: 1,
  // After auth, for claims, and after rate-limit, so that refused requests cost no score.
  priority: 17,
  security: false,
  refuses: true,
  failMode: "open",
  options: scoreOptions,
  needs: { keys: ["model:"] },
  requestFields,
  lint: async () => (await import("./lint.ts")).lint,
  commands: async () => (await import("./commands.ts")).commands,

  init: (services): State => ({
    models: new LoadedModels(services),
    rates: new CallerRates(services.clock),
    limited: new CallerRates(services.clock),
  }),
  dispose: ({ models }) => models.close(),

  async setup({ options, services, route, state }): Promise<Hooks> {
    const owned = fieldsOf(options);
    const read = options.features.flatMap(({ from, of }) =>
      from === "header" ? [fieldKey(String(of))] : [],
    );
    const fields = { ownedRequestFields: owned, headOnlyFields: [...owned, ...read] };
    const parts = { services, route, state };
    // A policy's tests run without Redis, so without a model.
    if (options.model === undefined || services.testRun !== undefined)
      return { ...fields, ...hooksOf(options, unscored, parts) };
    const { store } = services;
    if (store === undefined) throw new Error("models are in Redis: set REDIS_URL, or take the plugin out");
    const loaded = await state.models.use(options.model, store);
    const rateOf = rateFeature(state.rates, createCallerOf());
    const { name } = options.model;
    const compile = (artefact: Artefact): Ask => compileAsk(options, artefact, { name, services, rateOf });
    try {
      const ask = createLateAsk(loaded, compile, services);
      return {
        ...fields,
        ...hooksOf(options, ask, parts),
        health: () => loaded.trouble,
        close: () => state.models.release(loaded),
      };
    } catch (error) {
      state.models.release(loaded);
      throw error;
    }
  },
});
