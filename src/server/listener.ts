// Where clients connect: the HTTP server with its limits, what its parser refuses, upgrades, and the drain.
import http from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo, ListenOptions, Socket } from "node:net";
import { ServerResponse as UpgradeResponse } from "node:http";
import type { ForwardedField } from "../language/field-sets.ts";
import type { Network } from "../language/network.ts";
import type { Clock, Logger, Metrics } from "../plugin-api/contract.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { plainAddress, TrustedProxies } from "../client/client-address.ts";
import { ConnectionShare } from "../client/connection-share.ts";
import { type ClientLimitOptions, ClientLimits } from "../client/client-limits.ts";
import type { CarriedExchange, ProxyContext, ProxyLimits } from "../exchange/context.ts";
import { ExcessConnections } from "../client/excess-connections.ts";
import { Drain, type DrainLimits } from "./drain.ts";
import { Disagreements } from "../client/disagreements.ts";
import { createForward } from "../exchange/forward.ts";
import { clientEnded } from "../exchange/half-closed.ts";
import { HttpExchange } from "../exchange/http-exchange.ts";
import { InFlight } from "../v8/in-flight.ts";
import { Pipelining } from "./pipelining.ts";
import { isAnswering, Refusals } from "./refuse.ts";
import { Rechecks } from "../exchange/rechecks.ts";
import { parseRequestHead, type RequestHead } from "../http1/request-head.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import { UpgradeSide } from "../exchange/upgrade-side.ts";

export interface ListenerOptions {
  readonly listen: ListenOptions;
  /** Certificate and key in PEM: the listener then speaks TLS. */
  readonly tls?: https.ServerOptions;
  readonly limits: ProxyLimits &
    ClientLimitOptions & {
      readonly maxHeaderBytes: number;
      readonly headerTimeoutMs: number;
      readonly keepAliveMs: number;
      readonly maxConnections: number;
      readonly recheckMs: number;
    };
  readonly trustedProxies: readonly Network[];
  readonly forwardedField: ForwardedField;
  readonly trustedHops: number;
  /** Whether request fields with `_` in their name go on. */
  readonly keepsUnderscores: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The policy in force; undefined = none yet. */
  policy(): RoutedPolicy | undefined;
}

export class Listener {
  readonly server: Server;
  readonly #options: ListenerOptions;
  readonly #context: ProxyContext;
  readonly #proxies: TrustedProxies;
  readonly #disagreements: Disagreements;
  readonly #exchanges = new InFlight<CarriedExchange>();
  readonly #refusals: Refusals;
  readonly #clients: ClientLimits;
  readonly #pipelining: Pipelining;
  readonly #rechecks: Rechecks;
  readonly #connections: ConnectionShare;
  readonly #drain: Drain;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { trustedProxies, forwardedField, trustedHops, clock, logger, metrics } = options;
    this.#proxies = new TrustedProxies(trustedProxies, forwardedField, trustedHops);
    this.#disagreements = new Disagreements(forwardedField, clock, logger, metrics);
    this.#clients = new ClientLimits(options.limits);
    this.#refusals = new Refusals(
      this.#clients,
      options.logger,
      options.metrics,
      () => options.policy()?.snapshot.ownedCookies?.expiries ?? [],
    );
    this.#pipelining = new Pipelining(options.limits.clientShare, (socket) =>
      this.#refusals.crowding(socket, "pipelined requests"),
    );
    this.#context = {
      limits: options.limits,
      clock: options.clock,
      logger: options.logger,
      clients: this.#clients,
      forward: createForward(),
      draining: () => this.#drain.begun,
      began: (exchange) => this.#exchanges.add(exchange),
      ended: (exchange) => this.#ended(exchange),
    };
    this.#rechecks = new Rechecks({
      everyMs: options.limits.recheckMs,
      exchanges: this.#exchanges,
      clock,
      logger,
      policy: () => options.policy(),
      read: (message, viaTrustedProxy, current) => this.#read(message, viaTrustedProxy, current),
    });
    this.#connections = new ConnectionShare(options.limits, this.#proxies);
    this.server = this.#createServer();
    this.#drain = new Drain({
      server: this.server,
      exchanges: this.#exchanges,
      lingering: this.#clients.lingering,
      connections: () => this.#connections.open,
    });
  }

  /** Exchanges in flight, upgrades included. */
  get inFlight(): number {
    return this.#exchanges.size;
  }

  get draining(): boolean {
    return this.#drain.begun;
  }

  get listening(): boolean {
    return this.server.listening;
  }

  /** Replaces certificate and key for new connections. */
  setTls(tls: https.ServerOptions): void {
    if ("setSecureContext" in this.server) (this.server as https.Server).setSecureContext(tls);
  }

  /** Rejects when the address cannot be bound. @returns where it listens */
  async listen(): Promise<AddressInfo | string> {
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(this.#options.listen, () => {
        this.server.off("error", reject);
        resolve();
      });
    });
    return this.server.address() as AddressInfo | string;
  }

  /** From now on clients are told to close their connections; requests are still served. */
  beginDrain(): void {
    this.#drain.begin();
  }

  /** Serves until nobody seems to be on the way any more, then ends; at `limits.mostMs` whatever is left is cut off. */
  async drain(limits: DrainLimits): Promise<void> {
    await this.#drain.run(limits);
    this.#rechecks.stop();
  }

  #createServer(): Server {
    const { limits, tls } = this.#options;
    const options: http.ServerOptions = {
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.headerTimeoutMs,
      // Bodies have their own stall limit: a long upload is no attack.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(limits.headerTimeoutMs, 1_000),
      keepAliveTimeout: limits.keepAliveMs,
      // Checked in request-head.ts, with an answer and a log line of ours.
      requireHostHeader: false,
      noDelay: true,
      // Most requests have no body: no stream of nothing is run to its end for them.
      optimizeEmptyRequests: true,
      shouldUpgradeCallback: mayUpgrade,
    };
    const server =
      tls === undefined
        ? http.createServer(options)
        : https.createServer({
            ...options,
            allowHalfOpen: true,
            handshakeTimeout: limits.headerTimeoutMs,
            ...tls,
          });
    // Bounded in bytes already; beyond a count node:http would drop fields silently, and with them what they say.
    server.maxHeadersCount = 0;
    server.maxConnections = limits.maxConnections;
    // A client may end its side with the request, and read on. Not in Node's types (26), but there since Node 0.5.
    Object.assign(server, { httpAllowHalfOpen: true });
    server.on("connection", (socket: Socket) => {
      this.#drain.accepted();
      if (!this.#connections.admit(socket)) this.#refusals.crowding(socket);
      else if (tls === undefined) socket.on("end", clientEnded);
    });
    // Under TLS, requests and their end are on a socket of its own.
    server.on("secureConnection", (socket: Socket) => socket.on("end", clientEnded));
    const excess = new ExcessConnections(this.#options.clock, this.#options.logger, this.#options.metrics);
    server.on("drop", () => excess.closed(limits.maxConnections));
    const serve = (message: IncomingMessage, res: ServerResponse): void => this.#serve(message, res);
    server.on("request", serve).on("checkContinue", serve).on("checkExpectation", serve);
    server.on("upgrade", (message: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#upgrade(message, socket, head),
    );
    server.on("connect", (message: IncomingMessage, socket: Socket) =>
      this.#refusals.connect(message, socket),
    );
    server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) =>
      this.#refusals.broken(error, socket),
    );
    return server;
  }

  #serve(message: IncomingMessage, res: ServerResponse, upgrade?: UpgradeSide): void {
    if (res.socket === null) {
      this.#pipelining.wait(res, message.socket, () => this.#serve(message, res));
      return;
    }
    this.#drain.active();
    try {
      const policy = this.#options.policy();
      if (policy === undefined) throw new GatewayError("not_ready", "No policy is in force yet.");
      const peer = plainAddress(message.socket.remoteAddress ?? "");
      const head = this.#read(message, this.#proxies.trusts(peer), policy);
      const client = this.#proxies.resolve(peer, head.fields);
      if (client.disagrees === true) this.#disagreements.note(client);
      if (upgrade !== undefined && this.#drain.begun)
        throw new GatewayError("draining", "This sidecar is shutting down.");
      // Docker and Kubernetes upgrade POST; an answer to HEAD has no end that a tunnel could begin at.
      if (upgrade !== undefined && head.method === "HEAD")
        throw new GatewayError("malformed_request", "HEAD cannot be upgraded.");
      const routing = policy.find(head);
      if (routing.route.guarded) head.fields.deleteWhere(policy.stopsOverride);
      new HttpExchange(this.#context, policy, routing, {
        message,
        res,
        head,
        client,
        upgrade,
      }).run();
    } catch (error) {
      this.#refusals.request(message, res, asGatewayError(error));
    }
  }

  #read(message: IncomingMessage, viaTrustedProxy: boolean, policy: RoutedPolicy): RequestHead {
    return parseRequestHead(message, viaTrustedProxy ? policy.isOwned : policy.isOwnedOrForwarded, {
      cookies: policy.snapshot.ownedCookies,
      keepsUnderscores: this.#options.keepsUnderscores,
    });
  }

  #upgrade(message: IncomingMessage, socket: Socket, head: Buffer): void {
    // The parser has let go of the connection: answers other than 101 are written by a response of our own, and the
    // connection ends with them.
    const res = new UpgradeResponse(message);
    res.shouldKeepAlive = false;
    res.assignSocket(socket);
    res.once("finish", () => socket.destroySoon());
    this.#serve(message, res, new UpgradeSide(socket, head));
  }

  #ended(exchange: CarriedExchange): void {
    this.#exchanges.delete(exchange);
  }
}

/**
 * h2c would carry requests past the policy, an upgrade with a body is two messages in one, HTTP/1.0 has none, and a
 * connection that still owes an answer cannot be handed over: all are served plainly.
 */
function mayUpgrade(message: IncomingMessage): boolean {
  const { upgrade } = message.headers;
  if (message.httpVersionMinor === 0 || isAnswering(message.socket)) return false;
  if (upgrade === undefined || /(?:^|,)\s*h2c?\s*(?:,|$)/i.test(upgrade)) return false;
  const length = message.headers["content-length"];
  return message.headers["transfer-encoding"] === undefined && (length === undefined || length === "0");
}

function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  return new GatewayError("internal_error", "The sidecar failed.", { cause: error });
}
