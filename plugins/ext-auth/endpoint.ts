// Asks the endpoint and caches its answers. Requests with the same cache key that come at the same time share one call.
import {
  boundedCache,
  type Exchange,
  type HttpRequest,
  type Services,
} from "../../src/plugin-api/contract.ts";
import { type Answer, compileAnswer, maxAnswerBytes } from "./answer.ts";
import type { ExtAuthOptions } from "./options.ts";
import { compileDocument, compileFields, compileKey } from "./question.ts";

interface Kept {
  readonly answer: Answer;
  readonly untilMono: number;
}

type Ask = (exchange: Exchange, signal?: AbortSignal) => Promise<Answer>;

/** @throws Error when `url` is not set, or the token is not set or not bound to the endpoint's host */
function compileAsk(options: ExtAuthOptions, { http, secrets }: Services): Ask {
  const { url, protocol, token, timeoutMs } = options;
  if (url === undefined) throw new Error("url is not set: it says who is asked");
  const own = token === undefined ? {} : { authorization: `Bearer ${secrets.sentTo(token, url)}` };
  const read = compileAnswer(options);
  // A retry does no harm, and only calls that may be retried use a kept-alive connection.
  const common = { url, timeoutMs, maxBodyBytes: maxAnswerBytes, retries: 1 };
  let question: (exchange: Exchange) => HttpRequest;
  if (protocol === "opa") {
    const document = compileDocument(options.input);
    const fields = { ...own, "content-type": "application/json" };
    question = (exchange) => {
      const body = JSON.stringify({ input: document(exchange) });
      return { ...common, method: "POST", fields, body };
    };
  } else {
    const fieldsOf = compileFields(options.input);
    question = (exchange) => ({ ...common, fields: { ...fieldsOf(exchange), ...own } });
  }
  return async (exchange, signal) =>
    read(await http.request({ ...question(exchange), ...(signal !== undefined && { signal }) }));
}

export class Endpoint {
  readonly #ask: Ask;
  readonly #services: Services;
  readonly #ttlMs: number;
  readonly #keyOf: (exchange: Exchange) => string;
  readonly #kept: ReturnType<typeof boundedCache<Kept>>;
  /** Calls under way, by cache key. The limit on concurrent calls bounds its size. */
  readonly #asking = new Map<string, Promise<Answer>>();

  constructor(options: ExtAuthOptions, services: Services) {
    this.#ask = compileAsk(options, services);
    this.#services = services;
    this.#ttlMs = options.cache.ttlSeconds * 1_000;
    this.#keyOf = compileKey(options.cache);
    this.#kept = boundedCache<Kept>(options.cache.entries);
  }

  /** Rejects when there is no usable answer. Nothing is cached then. */
  answer(exchange: Exchange): Answer | Promise<Answer> {
    if (this.#ttlMs === 0) return this.#ask(exchange, exchange.signal);
    const key = this.#keyOf(exchange);
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#services.clock.mono() < kept.untilMono) return kept.answer;
    const under = this.#asking.get(key);
    if (under !== undefined) return under;
    // The call does not end with the request that began it, as others may wait for it. `timeoutMs` ends it.
    const asked = this.#askAndKeep(key, exchange).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asked);
    return asked;
  }

  async #askAndKeep(key: string, exchange: Exchange): Promise<Answer> {
    const answer = await this.#ask(exchange);
    this.#kept.set(key, { answer, untilMono: this.#services.clock.mono() + this.#ttlMs });
    return answer;
  }
}
