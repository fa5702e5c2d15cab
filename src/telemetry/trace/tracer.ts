// Begins the trace of each exchange, or continues the caller's.
import type { Exchange } from "../../plugin-api/exchange.ts";
import type { Counter } from "../../plugin-api/telemetry.ts";
import type { ExchangeTracer, LiveTrace, TracingRules } from "../../runtime/live-trace.ts";
import { boundBaggage } from "./baggage.ts";
import { parseTracestate, randomFlag, sampledFlag } from "./context.ts";
import { ExchangeTrace } from "./exchange-trace.ts";
import { extractorOf, type Propagator } from "./formats.ts";
import { newTraceId } from "./ids.ts";
import { Sampler, type SamplerSettings } from "./sampler.ts";
import type { Span } from "./span.ts";

export interface TracerOptions {
  readonly propagators: readonly Propagator[];
  readonly sampler: SamplerSettings;
  /** undefined = spans go nowhere, and none is made. */
  readonly sink: { add(span: Span): void } | undefined;
  /** Counts baggage dropped for its size. */
  readonly droppedBaggage: Counter;
}

const noRules: TracingRules = {};

export class Tracer implements ExchangeTracer {
  readonly #options: TracerOptions;
  readonly #extract: ReturnType<typeof extractorOf>;
  readonly #sampler: Sampler;

  constructor(options: TracerOptions) {
    this.#options = options;
    this.#extract = extractorOf(options.propagators);
    this.#sampler = new Sampler(options.sampler);
  }

  begin({ request, startedMono }: Exchange, rules: TracingRules = noRules, protocol?: string): LiveTrace {
    const { fields } = request;
    const parent = this.#extract(fields);
    const traceId = parent?.traceId ?? newTraceId();
    // Without a valid parent, `tracestate` does not belong to this trace (section 3.3 of Trace Context).
    const given = fields.get("tracestate");
    const isSampled = this.#sampler.samples(traceId, parent, rules, startedMono);
    const randomness = parent === undefined ? randomFlag : parent.flags & randomFlag;
    if (!boundBaggage(fields)) this.#options.droppedBaggage.inc();
    return new ExchangeTrace({
      traceId,
      parent,
      state: given === undefined || parent === undefined ? undefined : parseTracestate(given),
      hadState: given !== undefined,
      flags: (isSampled ? sampledFlag : 0) | randomness,
      rules,
      protocol,
      sink: this.#options.sink,
    });
  }
}
