// The base class of an exchange: its parts, and the calls that are passed straight to its two ends in every state.
import type { Outcome, UpstreamAnswer } from "../plugin-api/contract.ts";
import { isGrpcType } from "../plugin-api/grpc-type.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { RoutedPolicy, Routing, ServedRoute } from "../routing/routed-policy.ts";
import type { ExchangeIo, LiveExchange } from "../runtime/exchange.ts";
import { LiveResponse } from "../runtime/response.ts";
import type { TapFaults } from "../runtime/taps.ts";
import type { UpstreamCall, UpstreamRequest } from "../upstream/transport.ts";
import { GrpcMessages } from "./grpc-messages.ts";
import type { Inbound, ProxyContext, RunningTunnel } from "./context.ts";
import type { Told } from "./outcome.ts";
import { HalfClosed } from "./half-closed.ts";
import { Messages, tooManyMessages } from "./messages.ts";
import { receivedExchange } from "./received.ts";
import { type BodyEvents, RequestBody } from "./request-body.ts";
import { ClientWriter, type WriterEvents } from "./respond.ts";
import { shareKey } from "../client/client-address.ts";
import { throughLaterHooks } from "./later-response.ts";
import { fetchUpstream } from "./upstream-fetch.ts";
import { upstreamRequest } from "./upstream-request.ts";

export const shuttingDown = new GatewayError("draining", "This sidecar is shutting down.");

export const unrecorded = new GatewayError("dependency_unavailable", "What is answered cannot be recorded.");

export abstract class ExchangeParts implements ExchangeIo, WriterEvents, BodyEvents, TapFaults {
  readonly live: LiveExchange;
  readonly inbound: Inbound;
  readonly policy: RoutedPolicy;
  readonly route: ServedRoute;
  readonly body: RequestBody;
  /** Its index in the set of exchanges in flight. */
  setIndex = -1;
  protected readonly context: ProxyContext;
  protected readonly routing: Routing;
  protected readonly writer: ClientWriter;
  /** Aborts or resumes the upstream side. */
  protected call: UpstreamCall | undefined = undefined;
  protected halfClosed: HalfClosed | undefined = undefined;
  tunnel: RunningTunnel | undefined = undefined;
  messages: Messages | undefined = undefined;
  movedBefore = -1;
  movedMono = 0;
  /** The status of the answer that was written to the audit trail. */
  #auditedStatus: number | undefined = undefined;

  constructor(context: ProxyContext, policy: RoutedPolicy, routing: Routing, inbound: Inbound) {
    const { stream, head, client } = inbound;
    this.context = context;
    this.policy = policy;
    this.routing = routing;
    this.route = routing.route;
    this.inbound = inbound;
    this.writer = new ClientWriter(stream, this, context.clients, client.address);
    this.body = new RequestBody(stream, head, context.clients, this);
    const mayBeGrpc = stream.httpVersion === "2.0" || stream.isGrpcWeb === true;
    if (mayBeGrpc && isGrpcType(head.fields.get("content-type"))) this.#beginGrpc();
    this.live = receivedExchange(inbound, this.route, context.clock, this);
    if (policy.trial?.judging(policy) !== undefined) this.live.candidate = policy.snapshot.digest;
    this.live.trace = context.tracer?.begin(this.live, this.route.tracing, this.route.target.protocol);
    if (context.recorder !== undefined) this.#record(context.recorder);
    if (context.taps?.active === true) this.live.tapped = context.taps.begin(this.live);
  }

  #record(recorder: NonNullable<ProxyContext["recorder"]>): void {
    const { live } = this;
    const record = recorder.begin(this.route.chain.plugins, this.policy.snapshot.digest, live.startedMono);
    live.record = record;
    if (record.isWhole) live.request.fields.watcher = live;
  }

  abstract get over(): boolean;
  abstract bodyFailed(error: GatewayError): void;
  abstract onBroken(): void;
  abstract crashed(error: unknown): void;
  abstract shutDown(): void;
  abstract revoke(error: GatewayError, because: string): void;

  #beginGrpc(): void {
    const followers = { request: new GrpcMessages(), response: new GrpcMessages() };
    this.messages = new Messages(followers, this.route.maxMessagesPerSecond, () =>
      this.revoke(tooManyMessages, "more messages than maxMessagesPerSecond"),
    );
    this.writer.grpc = true;
    this.writer.messages = followers.response;
    this.body.messages = this.messages;
  }

  get lastsLong(): boolean {
    return this.inbound.stream.upgrades || this.writer.isEventStream;
  }

  get isStream(): boolean {
    return this.tunnel !== undefined || this.writer.grpc || this.writer.isEventStream;
  }

  get moved(): number {
    return this.tunnel?.moved ?? this.body.bytes + this.writer.bytes;
  }

  goAway(): void {
    if (this.tunnel !== undefined) this.tunnel.goAway();
    else if (this.writer.isEventStream) this.shutDown();
  }

  /** What the two ends have counted and seen. */
  protected get told(): Told {
    const { messages } = this;
    const closing = this.tunnel?.closing;
    return {
      requestBytes: this.tunnel?.bytesUp ?? this.body.bytes,
      grpcStatus: this.writer.grpcStatus,
      requestMessages: messages?.request.messages,
      responseMessages: messages?.response.messages,
      closeCode: closing?.closeCode,
      closedBy: closing?.closedBy,
    };
  }

  tellMessages(): void {
    this.messages?.tell((direction, messages) => this.route.countMessages(direction, messages));
  }

  /** Whether the client is told that this response ends the connection. */
  protected get isLast(): boolean {
    return this.context.draining() || this.inbound.stream.upgrades || this.halfClosed !== undefined;
  }

  onHalfClosed(): void {
    if (!this.over) this.halfClosed ??= new HalfClosed(this.inbound.stream, this.writer);
  }

  onMalformed(error: GatewayError): boolean {
    // The request was answered; the rest of its body is dropped.
    if (this.over) return true;
    // The fault is in the next request on the connection, or the answer has already begun.
    if (this.inbound.stream.complete || this.writer.headSent) return false;
    this.bodyFailed(error);
    return true;
  }

  readBody(maxBytes: number): Promise<Buffer> {
    return this.body.readWhole(maxBytes);
  }

  replaceBody(body: Buffer): void {
    this.body.replaceWhole(body);
  }

  async fetchUpstream(request: Parameters<ExchangeIo["fetchUpstream"]>[0]): Promise<UpstreamAnswer> {
    const { route, live, context } = this;
    const answer = await fetchUpstream(route, request, context.limits.upstreamConnectTimeoutMs);
    return await throughLaterHooks(route.chain, live, answer);
  }

  upstreamRequest(body: UpstreamRequest["body"]): UpstreamRequest {
    if (Buffer.isBuffer(body)) this.messages?.follow(body);
    const nowMono = this.context.clock.mono();
    this.live.trace?.sent(this.live.request.fields, nowMono);
    const request = upstreamRequest(this, body, this.context.limits);
    this.live.record?.asked(nowMono);
    return request;
  }

  holdCall(call: UpstreamCall): void {
    this.call = call;
  }

  onInterim(status: number, fields: readonly string[]): void {
    // 103 tells of an answer whose audit record is not written yet. 100 must pass: a client may wait for it before it
    // sends its body.
    if (status !== 100 && this.policy.audit?.blocking === true) return;
    this.inbound.stream.interim(status, this.route.received(fields, this.live).toFlat());
  }

  onData(chunk: Buffer): boolean {
    return this.writer.chunk(chunk);
  }

  onDrain(): void {
    this.body.resume();
  }

  onRetry(reason: string, pausedMs: number): readonly string[] {
    const { live, context } = this;
    live.retries += 1;
    const nowMono = context.clock.mono();
    live.trace?.sent(live.request.fields, nowMono, { reason, pausedMs });
    live.record?.asked(nowMono);
    return live.request.fields.toFlat();
  }

  mayKeep(bytes: number): boolean {
    return this.body.reserve(shareKey(this.inbound.client.address), bytes);
  }

  onBlocked(): void {
    this.writer.blocked();
  }

  onWritable(): void {
    this.writer.drained();
  }

  resumeUpstream(): void {
    this.call?.resume();
  }

  tapFailed(error: unknown): void {
    this.context.logger.error({ requestId: this.live.id, err: error }, "body tap failed");
  }

  /** The response after the chain's hooks and, if the policy requires it, after its audit record is written. */
  protected responsePhase(response: LiveResponse): LiveResponse | Promise<LiveResponse> {
    const ran = this.route.chain.response(this.live, response);
    if (this.policy.audit === undefined) return ran;
    return ran instanceof Promise ? ran.then((settled) => this.#audited(settled)) : this.#audited(ran);
  }

  #audited(response: LiveResponse): LiveResponse | Promise<LiveResponse> {
    if (this.over) return response;
    this.#auditedStatus = response.status;
    const written = this.policy.audit?.answering(this.live, response, this.live.answeredBy);
    return written === undefined
      ? response
      : written.then((isWritten) => (isWritten ? response : this.#unrecorded(response)));
  }

  #unrecorded(response: LiveResponse): LiveResponse {
    response.discard();
    const refusal = LiveResponse.fromError(unrecorded, this.live.id);
    refusal.faults = this;
    return refusal;
  }

  /** Reports the outcome to hooks, audit trail and metrics. */
  protected tell(outcome: Outcome): void {
    const { live, route, policy } = this;
    route.chain.complete(live, outcome);
    live.completed(outcome);
    policy.audit?.ended(live, outcome, this.#auditedStatus);
    const { trace } = live;
    route.count(
      this.inbound.head.method,
      outcome,
      trace?.keeps(outcome) === true ? trace.traceId : undefined,
    );
    this.tellMessages();
  }

  /** Aborts the upstream side: nothing more is wanted from it. */
  protected dropUpstream(): void {
    this.call?.abort();
    this.call = undefined;
    this.body.stop();
  }
}
