// The listener for clients: the HTTP server with its limits, refusals by its parser, upgrades, and the drain.
import type https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { ForwardedField } from "../language/field-sets.ts";
import type { Clock, Logger, Metrics, Outcome } from "../plugin-api/contract.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { type TrustedPeers, TrustedProxies } from "../client/client-address.ts";
import { peerOf } from "../client/peer.ts";
import { ConnectionShare } from "../client/connection-share.ts";
import { type ClientLimitOptions, ClientLimits } from "../client/client-limits.ts";
import type { CarriedExchange, ProxyContext, ProxyLimits } from "../exchange/context.ts";
import { ExcessConnections } from "../client/excess-connections.ts";
import { Drain, type DrainLimits, type TakeBacklog } from "./drain.ts";
import { Disagreements } from "../client/disagreements.ts";
import { ServerExchange } from "../exchange/exchange.ts";
import { IntrusiveSet } from "../v8/intrusive-set.ts";
import { CertifiedConnections } from "./http1/certified-connections.ts";
import { createForward, type HttpProxyMiddleware } from "./http1/forward.ts";
import type { ClientServer } from "./client-server.ts";
import { createHttp1Server } from "./http1/server.ts";
import { createNetServer } from "./http1-net/server.ts";
import { type ListeningOptions, type ListenPlace, ListeningSockets } from "./listening-sockets.ts";
import { withoutGrpcWeb } from "./grpc-web/inbound.ts";
import { Http2Sessions } from "./http2/sessions.ts";
import { ProxiedConnections } from "./proxied-connections.ts";
import { Refusals } from "./refuse.ts";
import { type CertificatesByName, pickBySni } from "./sni.ts";
import type { TlsContent } from "./tls-files.ts";
import { Rechecks } from "../exchange/rechecks.ts";
import { parseRequestHead, type ReceivedHead, type RequestHead } from "../http1/request-head.ts";
import type { ExchangeRecorder, ExchangeTaps } from "../runtime/live-record.ts";
import type { ExchangeTracer } from "../runtime/live-trace.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import type { ServerStream } from "../exchange/server-stream.ts";

export interface ListenerTls {
  readonly content: TlsContent;
  /** Whether a handshake is refused if no certificate covers the host that it names. */
  readonly refusesUnknown: boolean;
}

export interface ListenerOptions {
  readonly listen: Omit<ListeningOptions, "maxConnections" | "onDrop">;
  /** Present: the listener speaks TLS. */
  readonly tls?: ListenerTls | undefined;
  readonly limits: ProxyLimits &
    ClientLimitOptions & {
      readonly maxHeaderBytes: number;
      readonly headerTimeoutMs: number;
      readonly keepAliveMs: number;
      readonly maxConnections: number;
      /** The most concurrent requests on one HTTP/2 connection; 0 = HTTP/2 is off. */
      readonly http2Streams: number;
      readonly recheckMs: number;
    };
  /** Whether Outrigger's own parser reads HTTP/1.1; otherwise node:http does. */
  readonly own?: boolean | undefined;
  readonly trustedProxies: readonly TrustedPeers[];
  /** Whether connections of trusted proxies begin with a PROXY protocol head. */
  readonly proxyProtocol: boolean;
  readonly forwardedField: ForwardedField;
  readonly trustedHops: number;
  /** Whether request fields with `_` in their name are forwarded. */
  readonly keepsUnderscores: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Absent = nothing is traced. */
  readonly tracer?: ExchangeTracer | undefined;
  /** Absent = finished requests are not recorded. */
  readonly recorder?: ExchangeRecorder | undefined;
  /** Absent = exchanges cannot be watched. */
  readonly taps?: ExchangeTaps | undefined;
  /** Added by code that builds its own sidecar. */
  readonly middleware?: HttpProxyMiddleware | undefined;
  /** The policy in force; undefined = none yet. */
  policy(): RoutedPolicy | undefined;
}

export class Listener {
  readonly #server: ClientServer;
  readonly #sockets: ListeningSockets;
  readonly #excess: ExcessConnections;
  #byName: CertificatesByName | undefined;
  readonly #options: ListenerOptions;
  readonly #context: ProxyContext;
  readonly #proxies: TrustedProxies;
  readonly #disagreements: Disagreements;
  readonly #exchanges = new IntrusiveSet<CarriedExchange>();
  readonly #refusals: Refusals;
  readonly #clients: ClientLimits;
  readonly #rechecks: Rechecks;
  readonly #connections: ConnectionShare;
  readonly #certified: CertifiedConnections;
  readonly #drain: Drain;
  /** Undefined = the PROXY protocol is off. */
  readonly #proxied: ProxiedConnections | undefined;
  /** Undefined = HTTP/2 is off. */
  readonly #sessions: Http2Sessions | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#byName = options.tls?.content.byName;
    const { trustedProxies, forwardedField, trustedHops, clock, logger, metrics } = options;
    this.#proxies = new TrustedProxies(trustedProxies, forwardedField, trustedHops);
    this.#disagreements = new Disagreements(forwardedField, clock, logger, metrics);
    this.#clients = new ClientLimits(options.limits);
    this.#refusals = new Refusals(this.#clients, logger, metrics, () => options.policy());
    this.#context = this.#createContext(options);
    this.#rechecks = new Rechecks({
      everyMs: options.limits.recheckMs,
      exchanges: this.#exchanges,
      clock,
      logger,
      policy: () => options.policy(),
      read: (received, viaTrustedProxy, current) => this.#read(received, viaTrustedProxy, current),
    });
    this.#connections = new ConnectionShare(options.limits, this.#proxies);
    this.#sessions = this.#createSessions();
    this.#proxied = this.#createProxied(options);
    this.#certified = new CertifiedConnections(options.tls?.content);
    const { maxConnections } = options.limits;
    this.#excess = new ExcessConnections(clock, logger, metrics);
    const onDrop = (): void => this.#excess.closed(maxConnections);
    this.#server = this.#createServer(onDrop);
    this.#sockets = new ListeningSockets(this.#server, { ...options.listen, maxConnections, onDrop });
    this.#drain = new Drain({
      server: this.#server,
      sockets: this.#sockets,
      exchanges: this.#exchanges,
      lingering: this.#clients.lingering,
      connections: () => this.#connections.open,
      sessions: this.#sessions,
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
    return this.#sockets.listening;
  }

  /**
   * Replaces certificates, keys, authorities and revocation lists for new connections; old TLS sessions end with it.
   */
  setTls(content: TlsContent): void {
    this.#server.setSecureContext?.(content.options);
    this.#byName = content.byName;
    for (const socket of this.#certified.renew(content, this.#options.logger))
      if (this.#sessions?.leave(socket) !== true) this.#server.endSoon(socket);
  }

  /** Rejects when the address cannot be bound. @returns where it listens */
  async listen(place: ListenPlace): Promise<AddressInfo | string> {
    return await this.#sockets.open(place);
  }

  /** Accepts no new connections from now on. */
  stopListening(): void {
    this.#sockets.close();
  }

  /** From now on clients are told to close their connections; requests are still served. */
  beginDrain(): void {
    this.#drain.begin();
  }

  /** Serves until no more requests are expected, then ends; whatever is left at `limits.maxMs` is cut off. */
  async drain(limits: DrainLimits, takeBacklog?: TakeBacklog): Promise<void> {
    await this.#drain.run(limits, takeBacklog);
    this.#proxied?.destroy();
    this.#rechecks.stop();
  }

  #createContext(options: ListenerOptions): ProxyContext {
    return {
      limits: options.limits,
      clock: options.clock,
      logger: options.logger,
      clients: this.#clients,
      tracer: options.tracer,
      recorder: options.recorder,
      taps: options.taps,
      forward: createForward(options.middleware),
      draining: () => this.#drain.begun,
      began: (exchange) => this.#exchanges.add(exchange),
      ended: (exchange, outcome) => this.#ended(exchange, outcome),
    };
  }

  #createServer(onDrop: () => void): ClientServer {
    const { limits } = this.#options;
    const tls = this.#tlsOptions();
    const create = this.#options.own === true ? createNetServer : createHttp1Server;
    return create(
      { ...limits, tls, certified: this.#certified },
      {
        onConnection: (socket, serve) => {
          this.#drain.active();
          if (this.#proxied !== undefined && this.#proxies.trusts(peerOf(socket)))
            this.#proxied.accept(socket, (told) => this.#admit(told, serve));
          else this.#admit(socket, serve);
        },
        onRequest: (stream) => this.#serve(stream),
        onConnect: (target, socket, carried) => this.#refusals.connect(target, socket, carried),
        onParserError: (error, socket, carried) => this.#refusals.broken(error, socket, carried),
        onCrowding: (socket) => this.#refusals.crowding(socket, "pipelined requests"),
        onDrop,
        onHttp2: this.#sessions && ((socket) => this.#sessions?.accept(socket)),
      },
    );
  }

  #tlsOptions(): https.ServerOptions | undefined {
    const { tls } = this.#options;
    if (tls === undefined) return undefined;
    const SNICallback = pickBySni(() => this.#byName, tls.refusesUnknown);
    return { ...tls.content.options, SNICallback };
  }

  #createProxied({ proxyProtocol, limits }: ListenerOptions): ProxiedConnections | undefined {
    if (!proxyProtocol) return undefined;
    return new ProxiedConnections(limits.headerTimeoutMs, (reason, socket) =>
      this.#refusals.proxyHead(reason, socket),
    );
  }

  #admit(socket: Socket, serve: (socket: Socket) => void): void {
    const { maxConnections } = this.#options.limits;
    // Each listening socket applies `maxConnections` by itself; this check covers all of them.
    if (this.#connections.open >= maxConnections) {
      this.#excess.closed(maxConnections);
      socket.destroy();
    } else if (this.#connections.admit(socket)) serve(socket);
    else this.#refusals.crowding(socket);
  }

  #createSessions(): Http2Sessions | undefined {
    const { limits } = this.#options;
    if (limits.http2Streams === 0) return undefined;
    return new Http2Sessions(limits, {
      clientOf: (connection) => this.#connections.shareOf(connection),
      onRequest: (stream) => this.#serve(stream),
      onRefused: (stream, error) => this.#refusals.request(stream, error),
      onMisuse: (reason, connection) => this.#refusals.session(reason, connection),
    });
  }

  #serve(stream: ServerStream): void {
    this.#drain.active();
    try {
      let policy = this.#options.policy();
      if (policy === undefined) throw new GatewayError("not_ready", "No policy is in force yet.");
      const { peer, upgrades } = stream;
      let head = this.#read(stream, this.#proxies.trusts(peer), policy);
      const client = this.#proxies.resolve(peer, head.fields);
      if (policy.trial !== undefined) {
        const chosen = policy.trial.choose(stream, head, client, policy);
        // Each policy owns other fields that clients may not send.
        if (chosen !== policy) head = this.#read(stream, this.#proxies.trusts(peer), (policy = chosen));
      }
      if (client.disagrees === true) this.#disagreements.note(client);
      if (upgrades && this.#drain.begun) throw new GatewayError("draining", "This sidecar is shutting down.");
      // Docker and Kubernetes upgrade POST. An answer to HEAD has no end after which a tunnel could begin.
      if (upgrades && head.method === "HEAD")
        throw new GatewayError("malformed_request", "HEAD cannot be upgraded.");
      const routing = policy.take(head);
      const inbound = withoutGrpcWeb({ stream, head, client }, routing.route.target.protocol);
      new ServerExchange(this.#context, policy, routing, inbound).run();
    } catch (error) {
      this.#refusals.request(stream, asGatewayError(error));
    }
  }

  #read(received: ReceivedHead, viaTrustedProxy: boolean, policy: RoutedPolicy): RequestHead {
    return parseRequestHead(received, viaTrustedProxy ? policy.isOwned : policy.isOwnedOrForwarded, {
      cookies: policy.snapshot.ownedCookies,
      keepsUnderscores: this.#options.keepsUnderscores,
    });
  }

  #ended(exchange: CarriedExchange, outcome: Outcome): void {
    this.#exchanges.delete(exchange);
    const { policy, inbound, live } = exchange;
    policy.trial?.ended(inbound.received ?? inbound.stream, policy, live, outcome);
  }
}

function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  return new GatewayError("internal_error", "The sidecar failed.", { cause: error });
}
