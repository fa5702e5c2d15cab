// Shows one exchange to a plugin in a separate process. It keeps the contract as far as another process can; the other
// members throw an error that says so.
import type {
  BodyTap,
  Exchange,
  ExchangeClient,
  ExchangeRequest,
  ExchangeResponse,
  Identity,
  RouteInfo,
  UpstreamAnswer,
} from "../../../plugin-api/exchange.ts";
import type { Fields } from "../../../plugin-api/fields.ts";
import type { GatewayError } from "../../../plugin-api/errors.ts";
import type { BodyParts, Changes, ExchangeFacts, Flat, LateFacts } from "../protocol.ts";
import { RecordedFields } from "./recorded-fields.ts";

/** Requests that an exchange makes to the sidecar. */
export interface ExchangeAsks {
  readBody(call: number, maxBytes: number): Promise<Buffer>;
  /** @returns the place of the bytes among those sent before the answer */
  bytes(content: Buffer): number;
}

function unavailable(what: string): never {
  throw new Error(`${what} is not there for plugins that run in a process of their own`);
}

const noFields: readonly string[] = [];

export class ChildExchange implements Exchange {
  readonly id: string;
  readonly startedAt: number;
  readonly startedMono: number;
  readonly request: ExchangeRequest & { readonly fields: RecordedFields };
  readonly client: ExchangeClient;
  readonly route: RouteInfo;
  /** Id of the running hook's call. */
  call = 0;
  response: ChildResponse | undefined = undefined;
  readonly #asks: ExchangeAsks;
  #identity: Identity | undefined = undefined;
  #cacheStatus: string | undefined = undefined;
  #credentialFields: readonly string[] = noFields;
  #isPersonal = false;
  #refusedBecause: string | undefined = undefined;
  #changed = false;
  #controller: AbortController | undefined = undefined;
  #notes: Map<symbol, unknown> | undefined = undefined;

  constructor(facts: ExchangeFacts, route: RouteInfo, asks: ExchangeAsks) {
    const [id, startedAt, method, path, strippedPath, upstreamPath, query, host, scheme, httpVersion] = facts;
    const [, , , , , , , , , , upgrade, hasBody, fields, address, peer, viaTrustedProxy] = facts;
    this.id = id;
    this.startedAt = startedAt;
    this.startedMono = performance.now() - (Date.now() - startedAt);
    this.request = {
      method,
      path,
      strippedPath,
      upstreamPath,
      query,
      host,
      scheme,
      httpVersion,
      fields: new RecordedFields(fields),
      upgrade: upgrade ?? undefined,
      hasBody,
    };
    this.client = { address, peer, viaTrustedProxy, tls: undefined };
    this.route = route;
    this.#asks = asks;
  }

  /** Takes over what earlier plugins set in the meantime. */
  learn(late: LateFacts): void {
    const [identity, credentialFields, cacheStatus, isPersonal, refusedBecause] = late;
    this.#identity = identity ?? undefined;
    this.#credentialFields = credentialFields;
    this.#cacheStatus = cacheStatus ?? undefined;
    this.#isPersonal = isPersonal;
    this.#refusedBecause = refusedBecause ?? undefined;
  }

  get identity(): Identity | undefined {
    return this.#identity;
  }

  set identity(_identity: Identity | undefined) {
    unavailable("setting exchange.identity");
  }

  get credentialFields(): readonly string[] {
    return this.#credentialFields;
  }

  set credentialFields(_names: readonly string[]) {
    unavailable("setting exchange.credentialFields");
  }

  get cacheStatus(): string | undefined {
    return this.#cacheStatus;
  }

  set cacheStatus(_status: string | undefined) {
    unavailable("setting exchange.cacheStatus");
  }

  get responseIsPersonal(): boolean {
    return this.#isPersonal;
  }

  set responseIsPersonal(isPersonal: boolean) {
    this.#isPersonal = isPersonal;
    this.#changed = true;
  }

  /** Does nothing: no facts are recorded for plugins in a separate process. */
  explain(): void {}

  get refusedBecause(): string | undefined {
    return this.#refusedBecause;
  }

  set refusedBecause(reason: string | undefined) {
    this.#refusedBecause = reason;
    this.#changed = true;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  get notes(): Map<symbol, unknown> {
    this.#notes ??= new Map();
    return this.#notes;
  }

  /** A body that this process read cannot be changed: the sidecar keeps the original. */
  replaceBody(): never {
    throw new Error("a plugin in a process of its own cannot replace the body of a request");
  }

  readBody(maxBytes: number): Promise<Buffer> {
    return this.#asks.readBody(this.call, maxBytes);
  }

  fetchUpstream(): Promise<UpstreamAnswer> {
    return Promise.reject(
      new Error("exchange.fetchUpstream is not there for plugins in a process of their own"),
    );
  }

  cancel(): void {
    this.#controller?.abort(new Error("the hook's time limit passed"));
    this.#controller = undefined;
  }

  /** @returns the changes that the hook made; null = none */
  takeChanges(): Changes | null {
    const request = this.request.fields.takeEdits();
    const response = this.response?.fields.takeEdits() ?? null;
    const status = this.response?.takeStatus() ?? null;
    const body = this.response?.takeBody(this.#asks) ?? null;
    const changed = this.#changed;
    this.#changed = false;
    this.#controller = undefined;
    if (!changed && request === null && response === null && status === null && body === null) return null;
    return [request, response, status, body, this.#isPersonal, this.#refusedBecause ?? null];
  }
}

export class ChildResponse implements ExchangeResponse {
  status: number;
  readonly fields: RecordedFields;
  readonly origin: "upstream" | "sidecar";
  readonly error: GatewayError | undefined;
  #statusBefore: number;
  #body: string | Buffer | undefined = undefined;

  constructor(status: number, fields: Flat, origin: "upstream" | "sidecar", error: GatewayError | undefined) {
    this.status = status;
    this.#statusBefore = status;
    this.fields = new RecordedFields(fields);
    this.origin = origin;
    this.error = error;
  }

  get trailers(): Fields {
    return unavailable("response.trailers");
  }

  readBody(): Promise<never> {
    return unavailable("response.readBody");
  }

  replaceBody(body: string | Buffer): void {
    this.#body = body;
  }

  tap(_tap: BodyTap): void {
    unavailable("response.tap");
  }

  through(): void {
    unavailable("response.through");
  }

  takeStatus(): number | null {
    if (this.status === this.#statusBefore) return null;
    this.#statusBefore = this.status;
    return this.status;
  }

  takeBody(asks: ExchangeAsks): BodyParts {
    const body = this.#body;
    this.#body = undefined;
    return bodyParts(body, asks);
  }
}

/** A longer text is sent as bytes: escaped as JSON it could exceed the limit of an answer (plugin-process.ts). */
const maxTextLength = 2_048;

export function bodyParts(body: unknown, asks: ExchangeAsks): BodyParts {
  if (body === undefined || body === null) return null;
  if (typeof body === "string") return body.length <= maxTextLength ? body : asks.bytes(Buffer.from(body));
  if (body instanceof Uint8Array) return asks.bytes(Buffer.from(body));
  throw new Error("a body is neither text nor a Buffer");
}
