// Handles the requests of a plugin's process, with the services that its definition has: these hold what the plugin may
// ask for. Only a few requests run at the same time.
import { gatewayErrorOf } from "../../plugin-api/errors.ts";
import { textOf } from "../../plugin-api/error-text.ts";
import type { HttpClient, HttpMethod, Services } from "../../plugin-api/services.ts";
import { cacheServices } from "./cache-requests.ts";
import { type DatabaseServices, databaseServices } from "./database-requests.ts";
import type { PluginProcess } from "./plugin-process.ts";
import { count, list, optionalCount, pairs, text, Unreadable } from "./received.ts";
import type { Service } from "./service.ts";
import { storeServices } from "./store-requests.ts";
import { errorParts } from "./shown.ts";

export interface RequestLimits {
  /** Limit of a request body that is read for the plugin; undefined = its manifest asks for none. */
  readonly requestBytes: number | undefined;
}

const maxUnderWay = 64;
const maxAnswerBytes = 8_388_608;
const maxTimeoutMs = 30_000;

export class Requests {
  readonly #process: PluginProcess;
  readonly #services: ReadonlyMap<string, Service>;
  /** Services with a bound of their own, which do not count here. */
  readonly #uncounted: ReadonlySet<Service>;
  readonly #database: DatabaseServices;
  #underWay = 0;

  constructor(process: PluginProcess, services: Services, limits: RequestLimits) {
    this.#process = process;
    const { store, cache, db } = services;
    this.#database = databaseServices(db);
    const { services: queries, steps } = this.#database;
    this.#uncounted = new Set(steps.map(([, service]) => service));
    this.#services = new Map([
      ["body", bodyService(process, limits)],
      ["http", httpService(services.http)],
      ...cacheServices(cache),
      ...queries,
      ...steps,
      ...(store === undefined ? [] : storeServices(store)),
    ]);
  }

  /** @param message `request`, id, service, arguments */
  async take(message: readonly unknown[], blobs: readonly Buffer[]): Promise<void> {
    const id = count(message[1], "the id of a request");
    const service = this.#services.get(text(message[2], "the service of a request", 64));
    const args = list(message[3], "the arguments of a request");
    if (service === undefined) return this.#fail(id, new Error("there is no such service here"));
    const counts = this.#uncounted.has(service) ? 0 : 1;
    if (counts > 0 && this.#underWay >= maxUnderWay)
      return this.#fail(id, new Error(`more than ${maxUnderWay} requests of this plugin are under way`));
    this.#process.earn(message, blobs);
    this.#underWay += counts;
    try {
      const { value, bytes } = await service(args, blobs);
      if (this.#process.over) return;
      this.#process.send(["reply", id, value, bytes === undefined ? null : this.#process.bytes(bytes)]);
    } catch (error) {
      this.#fail(id, error);
    } finally {
      this.#underWay -= counts;
    }
  }

  /** The process has ended: its open transactions are rolled back. */
  close(): void {
    this.#database.close();
  }

  #fail(id: number, error: unknown): void {
    if (this.#process.over) return;
    const coded = gatewayErrorOf(error);
    const said = textOf(error).slice(0, 1_000);
    this.#process.send(["failure", id, said, coded === undefined ? null : errorParts(coded)]);
  }
}

function bodyService({ calls }: PluginProcess, { requestBytes }: RequestLimits): Service {
  return async ([id, maxBytes]) => {
    const call = calls.get(id);
    if (call === undefined) throw new Error("readBody: the hook is over");
    if (requestBytes === undefined)
      throw new Error("readBody: the plugin's manifest does not ask for it (needs.body.requestBytes)");
    const most = Math.min(count(maxBytes, "maxBytes"), requestBytes);
    return { value: null, bytes: await calls.whileReading(call, () => call.exchange.readBody(most)) };
  };
}

const methods: ReadonlySet<unknown> = new Set<HttpMethod>([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
]);

function httpService(http: HttpClient): Service {
  return async ([options, place], blobs) => {
    const asked = Object(options) as Readonly<Record<string, unknown>>;
    const { method = "GET", retries, perTryTimeoutMs, maxRedirects } = asked;
    if (!methods.has(method)) throw new Unreadable("http: the method is none that plugins have");
    const body = place === null ? undefined : blobs[count(place, "the body of a request")];
    const answer = await http.request({
      url: text(asked["url"], "url"),
      method: method as HttpMethod,
      fields: pairs(asked["fields"] ?? {}, "fields"),
      ...(body === undefined ? {} : { body }),
      timeoutMs: timeLimit(asked["timeoutMs"], "timeoutMs"),
      maxBodyBytes: Math.min(count(asked["maxBodyBytes"], "maxBodyBytes"), maxAnswerBytes),
      maxRedirects: optionalCount(maxRedirects) ?? 0,
      ...(retries === undefined ? {} : { retries: count(retries, "retries") }),
      ...(perTryTimeoutMs === undefined
        ? {}
        : { perTryTimeoutMs: timeLimit(perTryTimeoutMs, "perTryTimeoutMs") }),
    });
    return { value: [answer.status, [...answer.fields]], bytes: answer.body };
  };
}

function timeLimit(value: unknown, what: string): number {
  return Math.max(1, Math.min(count(value, what), maxTimeoutMs));
}
