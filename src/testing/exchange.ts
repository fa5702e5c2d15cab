// Makes an exchange without a listener, for tests that call a plugin's hooks. It uses the real classes, filled with
// what the test names.
import { Fields, type Identity, type Outcome } from "../plugin-api/contract.ts";
import { LiveExchange } from "../runtime/exchange.ts";
import { anyRoute } from "./route.ts";

export interface ExchangeFacts {
  readonly id?: string;
  readonly method?: string;
  readonly path?: string;
  readonly upstreamPath?: string;
  readonly query?: string;
  readonly host?: string;
  /** name, value, name, value … */
  readonly fields?: readonly string[];
  readonly upgrade?: string;
  readonly address?: string;
  readonly identity?: Partial<Identity>;
}

const noBody = (): Promise<never> => Promise.reject(new Error("this exchange has neither body nor upstream"));

export function exchangeOf(facts: ExchangeFacts = {}): LiveExchange {
  const address = facts.address ?? "192.0.2.7";
  const exchange = new LiveExchange({
    id: facts.id ?? "request-1",
    request: {
      method: facts.method ?? "GET",
      path: facts.path ?? "/",
      strippedPath: facts.upstreamPath ?? facts.path ?? "/",
      upstreamPath: facts.upstreamPath ?? facts.path ?? "/",
      query: facts.query ?? "",
      host: facts.host ?? "api.example",
      scheme: "http",
      httpVersion: "1.1",
      fields: new Fields(facts.fields),
      upgrade: facts.upgrade,
      hasBody: false,
    },
    client: { address, peer: address, viaTrustedProxy: false, tls: undefined },
    route: anyRoute,
    startedAt: 0,
    startedMono: 0,
    io: { over: false, readBody: noBody, replaceBody: () => {}, fetchUpstream: noBody },
  });
  if (facts.identity !== undefined) exchange.identity = identityOf(facts.identity);
  return exchange;
}

export function identityOf(facts: Partial<Identity>): Identity {
  return {
    userId: "u1",
    plan: undefined,
    scopes: [],
    roles: [],
    method: "api-key",
    credentialId: undefined,
    claims: {},
    ...facts,
  };
}

export function outcomeOf(facts: Partial<Outcome> = {}): Outcome {
  return {
    status: 200,
    end: "complete",
    durationMs: 1.5,
    upstreamMs: undefined,
    requestBytes: 0,
    responseBytes: 0,
    answeredBy: undefined,
    error: undefined,
    ...facts,
  };
}

/** Turns `"Name: value"` lines into a flat list: name, value, name, value … */
export function flat(...lines: string[]): string[] {
  return lines.flatMap((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
}
