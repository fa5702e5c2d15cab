// The admin listener: health, metrics, the policy in force, log level, drain and more. Its data comes from the options.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { ListenAddress } from "../config/formats.ts";
import type { Logger } from "../plugin-api/telemetry.ts";
import { closeServer, listenOn } from "./bound.ts";
import { createGuard } from "./access.ts";
import { type MetricsPage, metricsAnswerer } from "./metrics-page.ts";
import { boundClients, isAlone } from "./pressure.ts";
import { type Check, readiness } from "./readiness.ts";
import { requestAnswer, requestIdIn } from "./requests.ts";
import { drillMethods, type DrillSource } from "./drill.ts";
import { tapAnswer, type TapSource } from "./tap.ts";
import { SiblingDoor, type SiblingTls } from "./siblings.ts";
import { originForm } from "./target.ts";
import {
  AdminProblem,
  type Answer,
  jsonAnswer,
  sendAnswer,
  type StreamedAnswer,
  textAnswer,
} from "./answer.ts";

/** An extra document that anybody may GET (a JWKS). */
export interface AdminDocument {
  readonly contentType: string;
  readonly body: string;
}

export interface AdminOptions {
  readonly listen: ListenAddress | { readonly fd: number };
  /** Most connections at a time. */
  readonly maxConnections?: number | undefined;
  /** The token that opens the sensitive endpoints to peers on other machines. */
  readonly token: () => string | undefined;
  /** Lets sidecars that prove by TLS to be siblings read `/policy/signed`. Absent: no TLS. */
  readonly siblings?: (() => SiblingTls) | undefined;
  readonly logger: Logger;
  /** Ready when all are ok. */
  readonly checks: () => readonly Check[];
  readonly metrics: MetricsPage;
  /** What `GET /policy` shows. */
  readonly policyStatus: () => object;
  /** What `GET /policy/signed` shows; undefined = the policy in force is not signed. */
  readonly signedPolicy?: () => object | undefined;
  /** What `GET /plugins` shows. */
  readonly plugins: () => Promise<object>;
  /** What `GET /requests/<id>` shows; undefined = the request is not known. */
  readonly request: (id: string) => Promise<object | undefined>;
  readonly tap: TapSource;
  /** undefined = this sidecar takes part in no drills. */
  readonly drills?: DrillSource | undefined;
  readonly logLevel: { get(): string; set(level: string): boolean };
  /** Starts the drain and returns; may be called again. */
  readonly drain: () => void;
  /** Drains, then ends the process with exit code 0; returns at once, may be called again. */
  readonly quit: () => void;
  /** @returns the document at a path that the listener itself does not serve; undefined = 404 */
  readonly extra?: (path: string) => AdminDocument | undefined | Promise<AdminDocument | undefined>;
}

export interface Admin {
  /** Rejects when the address cannot be bound. @returns where it listens */
  listen(): Promise<AddressInfo | string>;
  /** Stops listening; answers in progress have a second to finish. */
  close(): Promise<void>;
}

type AnyAnswer = Answer | StreamedAnswer;
type Handler = (request: IncomingMessage, query: URLSearchParams) => AnyAnswer | Promise<AnyAnswer>;

interface Endpoint {
  readonly sensitive: boolean;
  /** Also open to siblings. */
  readonly forSiblings?: boolean;
  /** By method; GET also serves HEAD. */
  readonly methods: ReadonlyMap<string, Handler>;
}

const maxBodyBytes = 1024;
const defaultConnections = 64;

/** @throws AdminProblem 413 past the limit, 400 for a body that breaks off */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBodyBytes) break;
      chunks.push(chunk);
    }
  } catch {
    throw new AdminProblem(400, "The body broke off.");
  }
  if (length > maxBodyBytes) throw new AdminProblem(413, `The body is longer than ${maxBodyBytes} bytes.`);
  return Buffer.concat(chunks).toString();
}

/** Parses the level from `{"level":"debug"}` or from plain `debug`. */
function parseLevel(body: string): string {
  if (!body.trimStart().startsWith("{")) return body.trim();
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    throw new AdminProblem(400, "The body is not JSON.");
  }
  const { level, ...rest } = document as Record<string, unknown>;
  if (typeof level === "string" && Object.keys(rest).length === 0) return level;
  throw new AdminProblem(400, 'The body must be {"level":"…"} or the level alone.');
}

function endpoint(sensitive: boolean, methods: Record<string, Handler>): Endpoint {
  return { sensitive, methods: new Map(Object.entries(methods)) };
}

function levelEndpoint({ logLevel, logger }: AdminOptions): Endpoint {
  return endpoint(true, {
    GET: () => jsonAnswer(200, { level: logLevel.get() }),
    async PUT(request) {
      const previous = logLevel.get();
      const level = parseLevel(await readBody(request));
      if (!logLevel.set(level))
        throw new AdminProblem(
          400,
          "The level must be one of trace, debug, info, warn, error, fatal, silent.",
        );
      logger.info({ from: previous, to: level }, "log level changed");
      return jsonAnswer(200, { level, previous });
    },
  });
}

/** Answers siblings that have no policy. */
function signedAnswer(policy: object | undefined): Answer {
  if (policy === undefined) throw new AdminProblem(404, "No signed policy is in force.");
  return jsonAnswer(200, policy);
}

/** The endpoints that end the sidecar's service. */
function endings({ drain, quit, logger }: AdminOptions): [string, Endpoint][] {
  return [
    [
      "/drain",
      endpoint(true, {
        POST() {
          logger.info({}, "POST /drain: not ready from now on");
          drain();
          return jsonAnswer(202, { draining: true });
        },
      }),
    ],
    [
      "/quit",
      endpoint(true, {
        POST() {
          logger.info({}, "POST /quit: the sidecar ends");
          quit();
          return jsonAnswer(202, { quitting: true });
        },
      }),
    ],
  ];
}

function createEndpoints(options: AdminOptions): ReadonlyMap<string, Endpoint> {
  const { checks, metrics, policyStatus } = options;
  return new Map([
    ["/livez", endpoint(false, { GET: () => textAnswer(200, "ok") })],
    ["/readyz", endpoint(false, { GET: (_, query) => readiness(checks(), query.has("verbose")) })],
    ["/metrics", endpoint(false, { GET: metricsAnswerer(metrics) })],
    ["/policy", endpoint(true, { GET: () => jsonAnswer(200, policyStatus()) })],
    [
      "/policy/signed",
      { ...endpoint(true, { GET: () => signedAnswer(options.signedPolicy?.()) }), forSiblings: true },
    ],
    ["/plugins", endpoint(true, { GET: async () => jsonAnswer(200, await options.plugins()) })],
    [
      "/tap",
      endpoint(true, { GET: (request, query) => tapAnswer(request, query, options.tap, options.logger) }),
    ],
    ["/drill", endpoint(true, drillMethods(options.drills))],
    ["/loglevel", levelEndpoint(options)],
    ...endings(options),
  ]);
}

/** The text of `GET /`: one endpoint per line. */
function listing(endpoints: ReadonlyMap<string, Endpoint>): string {
  const shown = new Map([
    ...endpoints,
    ["/requests/<id>", endpoint(true, { GET: () => textAnswer(404, "") })],
  ]);
  const lines = [...shown].map(([path, { methods, sensitive, forSiblings = false }]) => {
    const others = forSiblings ? ", or siblings by their SVID" : "";
    const who = sensitive ? `  (from this machine, or with OUTRIGGER_ADMIN_TOKEN${others})` : "";
    return `${[...methods.keys()].join(", ")} ${path}${who}`;
  });
  return ["Outrigger's admin listener", ...lines].join("\n");
}

function isSafe(method: string | undefined): boolean {
  return method === "GET" || method === "HEAD";
}

/** Answers one request or throws: AdminProblem for a refusal, anything else for a fault. */
type Answerer = (request: IncomingMessage) => Promise<AnyAnswer>;

function createAnswerer(options: AdminOptions, isSibling: (socket: Socket) => boolean): Answerer {
  const endpoints = createEndpoints(options);
  const guard = createGuard(options.token);

  async function findEndpoint(path: string): Promise<Endpoint> {
    const own = endpoints.get(path);
    if (own !== undefined) return own;
    if (path === "/") return endpoint(false, { GET: () => textAnswer(200, listing(endpoints)) });
    const id = requestIdIn(path);
    if (id !== undefined) return endpoint(true, { GET: () => requestAnswer(id, options.request) });
    const document = await options.extra?.(path);
    if (document === undefined) throw new AdminProblem(404, "There is nothing here.");
    return endpoint(false, { GET: () => ({ status: 200, ...document }) });
  }

  return async function answer(request) {
    const target = originForm(request.url ?? "", request.headers.host);
    const mark = target.indexOf("?");
    const endpoint = await findEndpoint(mark === -1 ? target : target.slice(0, mark));
    const handler = endpoint.methods.get(request.method === "HEAD" ? "GET" : (request.method ?? ""));
    if (handler === undefined) {
      const allow = [...endpoint.methods.keys()].flatMap((name) =>
        name === "GET" ? ["GET", "HEAD"] : [name],
      );
      throw new AdminProblem(405, `Only ${allow.join(", ")} here.`, { Allow: allow.join(", ") });
    }
    const { sensitive, forSiblings = false } = endpoint;
    if (sensitive && !(forSiblings && isSibling(request.socket))) guard(request);
    // A web page may not change anything, even if it knows the token.
    if (request.headers.origin !== undefined && !isSafe(request.method))
      throw new AdminProblem(403, "Refused, for it has an Origin.");
    return handler(request, new URLSearchParams(mark === -1 ? "" : target.slice(mark)));
  };
}

export function createAdmin(options: AdminOptions): Admin {
  const answerer = createAnswerer(options, (socket) => door?.isSibling(socket) === true);

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      const given = await answerer(request);
      if ("stream" in given) return given.stream(response);
      answer = given;
    } catch (error) {
      if (!(error instanceof AdminProblem)) options.logger.error({ err: error }, "admin request failed");
      answer = (
        error instanceof AdminProblem ? error : new AdminProblem(500, "That failed; the log says why.")
      ).answer;
    }
    // Closes the connection if the body was not read to its end.
    if (!response.destroyed) sendAnswer(response, answer, !request.complete);
  }

  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: 5000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5000,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      if (isAlone(request, response)) void serve(request, response);
    },
  );
  boundClients(server, options.maxConnections ?? defaultConnections);
  const door = options.siblings && new SiblingDoor(server, options.siblings);
  return {
    async listen() {
      const address = await listenOn(server, options.listen);
      // Errors while listening (EMFILE on accept) pass by themselves.
      server.on("error", (error) => options.logger.error({ err: error }, "admin listener failed"));
      return address;
    },
    close() {
      const closed = closeServer(server);
      door?.close();
      return closed;
    },
  };
}
