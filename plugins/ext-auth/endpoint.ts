// Asks the endpoint, once for all requests that share an answer and come at the same time, and keeps what it said.
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

/** @throws Error when the token is not set, or not bound to the endpoint's host */
function compileAsk(options: ExtAuthOptions, { http, secrets }: Services): Ask {
  const { url, protocol, token, timeoutMs } = options;
  if (url === undefined) throw new Error("url is not set: it says who is asked");
  const own = token === undefined ? {} : { authorization: `Bearer ${secrets.sentTo(token, url)}` };
  const read = compileAnswer(options);
  // A second try does no harm; only calls that may be repeated use a connection that was kept.
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
  /** At most as many as calls may be under way. */
  readonly #asking = new Map<string, Promise<Answer>>();

  constructor(options: ExtAuthOptions, services: Services) {
    this.#ask = compileAsk(options, services);
    this.#services = services;
    this.#ttlMs = options.cache.ttlSeconds * 1_000;
    this.#keyOf = compileKey(options.cache);
    this.#kept = boundedCache<Kept>(options.cache.entries);
  }

  /** Rejects when there is no answer that can be used; nothing is kept then. */
  answer(exchange: Exchange): Answer | Promise<Answer> {
    if (this.#ttlMs === 0) return this.#ask(exchange, exchange.signal);
    const key = this.#keyOf(exchange);
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#services.clock.mono() < kept.untilMono) return kept.answer;
    const under = this.#asking.get(key);
    if (under !== undefined) return under;
    // Not ended with the request that began it: others may wait for it too. `timeoutMs` ends it.
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
