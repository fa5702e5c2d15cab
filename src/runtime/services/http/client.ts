// Implements the client behind `services.http`, for a plugin's own calls (issuers, introspection, its own services).
// Each call has a time limit, is retried where that can help, and is refused while a breaker is open because the host
// keeps failing.
import { setTimeout as sleep } from "node:timers/promises";
import {
  HttpError,
  type HttpAnswer,
  type HttpClient,
  type HttpMethod,
  type HttpRequest,
} from "../../../plugin-api/http.ts";
import type { Clock } from "../../../plugin-api/services.ts";
import type { Metrics } from "../../../plugin-api/telemetry.ts";
import { systemClock } from "../../clock.ts";
import { NotDeclared } from "../not-declared.ts";
import { QuotaUse } from "../quota-use.ts";
import { AllowedHosts } from "./allowed-hosts.ts";
import { AnswerRoom } from "./answer-body.ts";
import { Connections } from "./connections.ts";
import { Deadline } from "../deadline.ts";
import { exchange } from "./exchange.ts";
import { type HostState, HostStates } from "./host-state.ts";
import { HttpMeasures } from "./measures.ts";
import { traceTry } from "./traced-try.ts";
import { CallRate } from "./call-rate.ts";
import { isRepeatable, isWorthAnother, pauseMs, retriesOf } from "./retry.ts";

export interface HttpClientOptions {
  /** The plugin that makes the calls. Default: `plugin`. */
  readonly plugin?: string;
  /** Allowed hosts, in the form of `needs.hosts`. Default: any. */
  readonly hosts?: readonly string[];
  /** Default: nothing is counted. */
  readonly metrics?: Metrics;
  readonly clock?: Pick<Clock, "mono">;
  /** Returns a number from 0 to 1, for the jitter of pauses. */
  readonly random?: () => number;
  /** Concurrent calls; default: 64. */
  readonly maxInFlight?: number;
  /** Calls and retries per second; default: no limit. */
  readonly maxPerSecond?: number;
  /** Limit in bytes of the bodies of all current answers together; default: none, each call has its own. */
  readonly maxAnswerBytes?: number;
}

/** A plugin's client. It is closed with the plugin. */
export interface OwnHttpClient extends HttpClient {
  /** Aborts all calls and closes connections. Calls are refused until `open`. */
  close(): void;
  open(): void;
}

const defaultInFlight = 64;

const methods: ReadonlySet<HttpMethod> = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
]);

/** Fields that only the client sets. With another Host, a call would reach a host that `needs.hosts` does not name. */
const ownFields = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** One call in progress. */
interface Call {
  readonly url: URL;
  readonly options: HttpRequest;
  readonly host: HostState;
  readonly label: string;
  readonly privateToo: boolean;
  readonly deadline: Deadline;
}

export function createHttpClient(options: HttpClientOptions = {}): OwnHttpClient {
  return new PluginHttpClient(options);
}

class PluginHttpClient implements OwnHttpClient {
  readonly #plugin: string;
  readonly #allowed: AllowedHosts;
  readonly #clock: Pick<Clock, "mono">;
  readonly #random: () => number;
  /** Created with the first call, so that a plugin without calls has no metrics. */
  readonly #measured: () => HttpMeasures | undefined;
  readonly #inFlight: QuotaUse;
  readonly #rate: CallRate;
  readonly #room: AnswerRoom;
  readonly #connections = new Connections();
  readonly #hosts = new HostStates();
  readonly #calls = new Set<Deadline>();
  #closed = false;

  constructor(options: HttpClientOptions) {
    const { plugin = "plugin", hosts = ["*"], metrics, maxInFlight = defaultInFlight } = options;
    this.#plugin = plugin;
    this.#room = new AnswerRoom(options.maxAnswerBytes ?? Infinity);
    this.#allowed = new AllowedHosts(hosts);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    let measures: HttpMeasures | undefined;
    this.#measured = () => (measures ??= metrics && new HttpMeasures(plugin, metrics));
    this.#rate = new CallRate({ plugin, metrics, clock: this.#clock, max: options.maxPerSecond ?? Infinity });
    this.#inFlight = new QuotaUse({
      plugin,
      quota: "http_in_flight",
      max: maxInFlight,
      unit: "calls at once",
      metrics,
    });
  }

  async request(options: HttpRequest): Promise<HttpAnswer> {
    const { url, label, privateToo } = this.#destination(options);
    const from = performance.now();
    this.#rate.take();
    this.#inFlight.take();
    const deadline = new Deadline(options.timeoutMs, options.signal);
    this.#calls.add(deadline);
    let outcome: HttpAnswer | HttpError;
    try {
      const host = this.#hosts.of(url.origin);
      outcome = await this.#tries({ url, options, host, label, privateToo, deadline });
    } finally {
      deadline.clear();
      this.#calls.delete(deadline);
      this.#inFlight.giveBack();
    }
    this.#measured()?.ended(label, outcome, (performance.now() - from) / 1_000);
    if (outcome instanceof HttpError) throw outcome;
    return outcome;
  }

  open(): void {
    this.#closed = false;
  }

  close(): void {
    this.#closed = true;
    for (const call of this.#calls) call.end();
    this.#connections.close();
    this.#hosts.clear();
  }

  /** @throws Error for a call that this plugin may not make */
  #destination({
    url: text,
    method = "GET",
    fields = {},
  }: HttpRequest): Pick<Call, "url" | "label" | "privateToo"> {
    if (this.#closed) throw new Error(`plugin "${this.#plugin}" is closed: it calls nobody any more`);
    const url = new URL(text);
    if (url.protocol !== "http:" && url.protocol !== "https:")
      throw new Error(`${url.protocol} is not spoken here`);
    if (!methods.has(method)) throw new Error(`the method ${method} is not for plugins`);
    const own = Object.keys(fields).find((name) => ownFields.has(name.toLowerCase()));
    if (own !== undefined) throw new Error(`the field ${own} is set by the client itself`);
    const allowed = this.#allowed.of(url);
    if (allowed === undefined) {
      this.#measured()?.refused();
      throw new NotDeclared(this.#plugin, `the host "${url.host}"`, "hosts");
    }
    const { label, privateToo } = allowed;
    return { url, label: this.#measured()?.labelOf(label, url.host) ?? url.host, privateToo };
  }

  /** Returns an HttpError for a call that failed; rejects only because of a fault in this code. */
  async #tries(call: Call): Promise<HttpAnswer | HttpError> {
    const { options, host, label, deadline } = call;
    const retries = retriesOf(options);
    host.budget.add();
    for (let retry = 0; ; retry += 1) {
      const fromMono = performance.now();
      const outcome = await this.#try(call);
      traceTry(call, retry, outcome, fromMono);
      if (retry >= retries || deadline.signal.aborted || !isWorthAnother(outcome)) return outcome;
      const pause = pauseMs(retry, outcome, this.#random);
      if (pause >= deadline.leftMs) return outcome;
      const isWithin = this.#rate.has() && host.budget.take();
      this.#measured()?.retry(label, isWithin ? "sent" : "over_budget");
      if (!isWithin) return outcome;
      try {
        await sleep(pause, undefined, { signal: deadline.signal });
      } catch {
        return this.#ended(call, undefined);
      }
    }
  }

  async #try(call: Call): Promise<HttpAnswer | HttpError> {
    const { url, options, host, deadline, privateToo } = call;
    const { breaker = true, perTryTimeoutMs } = options;
    if (deadline.signal.aborted) return this.#ended(call, undefined);
    if (breaker && !host.breaker.allows(this.#clock.mono()))
      return new HttpError(url.host, "breaker_open", "not asked: its last calls failed one after the other");
    const single = perTryTimeoutMs === undefined ? deadline : new Deadline(perTryTimeoutMs, deadline.signal);
    const way = {
      connections: this.#connections,
      privateToo,
      pooled: isRepeatable(options),
      signal: single.signal,
      room: this.#room,
    };
    let outcome: HttpAnswer | HttpError;
    try {
      outcome = await exchange(url, options, way);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      outcome = error;
      if (deadline.signal.aborted) outcome = this.#ended(call, error);
      else if (single.expired)
        outcome = new HttpError(url.host, "timeout", `no answer within ${perTryTimeoutMs} ms`, error);
    } finally {
      if (single !== deadline) single.clear();
    }
    if (breaker) this.#judge(host, outcome);
    return outcome;
  }

  #judge({ breaker }: HostState, outcome: HttpAnswer | HttpError): void {
    if (!(outcome instanceof HttpError)) {
      if (outcome.status >= 500) breaker.failed(this.#clock.mono());
      else breaker.succeeded();
    } else if (outcome.reason === "aborted" || outcome.reason === "closed_address") breaker.withdrawn();
    // The server answered, though not with what was asked for.
    else if (outcome.reason === "bad_answer") breaker.succeeded();
    else breaker.failed(this.#clock.mono());
  }

  #ended({ url, options, deadline }: Call, cause: unknown): HttpError {
    return deadline.expired
      ? new HttpError(url.host, "timeout", `no answer within ${options.timeoutMs} ms`, cause)
      : new HttpError(url.host, "aborted", "the call was ended by its caller, or with its plugin", cause);
  }
}
