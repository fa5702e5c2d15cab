// The way of one request: chain, forward, chain in reverse, respond, complete. It is also what the upstream transport
// calls back, so that an exchange is one object and no closures.
import type { Outcome, UpstreamAnswer, Verdict } from "../plugin-api/contract.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { ExchangeIo, LiveExchange } from "../runtime/exchange.ts";
import { LiveResponse } from "../runtime/response.ts";
import { Answer, type AnswerParts } from "./answer.ts";
import type { CarriedExchange, Inbound, ProxyContext, RunningTunnel } from "./context.ts";
import { earlyRefusal } from "./early.ts";
import { HalfClosed } from "./half-closed.ts";
import { outcomeOf } from "./outcome.ts";
import { receivedExchange } from "./received.ts";
import { type BodyEvents, RequestBody } from "./request-body.ts";
import { ClientWriter, type WriterEvents } from "./respond.ts";
import type { RoutedPolicy, Routing, ServedRoute } from "../routing/routed-policy.ts";
import type { StreamHandler } from "./server-stream.ts";
import { takesInFirst } from "./take-in.ts";
import { openTunnel } from "./upgrade.ts";
import { fetchUpstream } from "./upstream-fetch.ts";
import { countHop, upstreamRequest } from "./upstream-request.ts";
import type { UpstreamCall, UpstreamRequest } from "../upstream/transport.ts";

export class HttpExchange
  implements CarriedExchange, StreamHandler, WriterEvents, BodyEvents, ExchangeIo, AnswerParts
{
  readonly live: LiveExchange;
  readonly inbound: Inbound;
  readonly route: ServedRoute;
  readonly writer: ClientWriter;
  readonly body: RequestBody;
  setIndex = -1;
  readonly #context: ProxyContext;
  readonly policy: RoutedPolicy;
  readonly #routing: Routing;
  readonly #answer: Answer;
  #call: UpstreamCall | undefined = undefined;
  #askedMono = 0;
  #upstreamMs: number | undefined = undefined;
  #answeredMono: number | undefined = undefined;
  #over = false;
  tunnel: RunningTunnel | undefined = undefined;
  #lingers = false;
  #halfClosed: HalfClosed | undefined = undefined;

  constructor(context: ProxyContext, policy: RoutedPolicy, routing: Routing, inbound: Inbound) {
    const { stream, head, client } = inbound;
    this.#context = context;
    this.policy = policy;
    this.#routing = routing;
    this.route = routing.route;
    this.inbound = inbound;
    this.writer = new ClientWriter(stream, this, context.clients, client.address);
    this.body = new RequestBody(stream, head, context.clients, this);
    this.live = receivedExchange(inbound, this.route, context.clock, this);
    this.#answer = new Answer(this);
    policy.snapshot.enter();
    context.began(this);
    stream.open(this);
  }

  get chain(): ServedRoute["chain"] {
    return this.route.chain;
  }

  /** Runs the chain, then forwards or answers. */
  run(): void {
    try {
      const refusal = earlyRefusal(this.#routing, this.inbound, this.#context.clients.maxBodyBytes);
      // The whole chain still sees the answer, so it is logged like any other.
      if (refusal !== undefined) this.live.reached = this.chain.steps.length;
      this.#whenDecided(refusal === undefined ? this.chain.request(this.live) : undefined, refusal);
    } catch (error) {
      this.crashed(error);
    }
  }

  /** Answers with an error of our own; no plugin turns it into something else. */
  fail(error: GatewayError): void {
    if (!this.#over) this.#answer.send(LiveResponse.fromError(error, this.live.id));
  }

  openUpstream(): void {
    if (this.inbound.stream.upgrades) {
      openTunnel(this);
      return;
    }
    const body = this.body.whole ?? (this.inbound.head.body === "none" ? "none" : "stream");
    const call = this.route.transport.send(this.upstreamRequest(body), this);
    // Refused before `send` returned.
    if (this.#over || this.#answer.status !== 0) return;
    this.#call = call;
    if (body === "stream") this.body.pipeTo(call, this.policy.trailers);
  }

  upstreamRequest(body: UpstreamRequest["body"]): UpstreamRequest {
    return upstreamRequest(this, body, this.#context.limits);
  }

  onInterim(status: number, fields: readonly string[]): void {
    this.writer.interim(status, this.route.received(fields, this.live).toFlat());
  }

  onHead(status: number, statusText: string, flat: readonly string[]): void {
    this.#upstreamMs = this.#context.clock.mono() - this.#askedMono;
    if (this.inbound.head.body === "chunked") this.body.unpace();
    this.#answer.send(LiveResponse.fromUpstream(status, statusText, this.route.received(flat, this.live)));
  }

  onData(chunk: Buffer): boolean {
    return this.#answer.chunk(chunk);
  }

  onEnd(trailers: readonly string[]): void {
    this.#call = undefined;
    this.body.stop();
    this.#answer.end(this.policy.trailers.ofResponse(trailers));
  }

  onFail(error: GatewayError): void {
    if (this.#over) return;
    this.#call = undefined;
    this.body.stop();
    this.#answer.error = error;
    if (this.#answer.headSent) this.#answer.breakOff();
    else if (this.#upstreamMs === undefined) this.#whenDecided(this.chain.error(this.live, error), error);
    // Its head was good, and a response hook is still at work on it.
    else this.fail(error);
  }

  onDrain(): void {
    this.body.resume();
  }

  onBlocked(): void {
    this.writer.blocked();
  }

  onWritable(): void {
    this.writer.drained();
  }

  resumeUpstream(): void {
    this.#call?.resume();
  }

  onClose(): void {
    this.#halfClosed?.stop();
    this.finish(this.writer.bytes);
  }

  onBroken(): void {
    this.#answer.breakOff();
  }

  readBody(maxBytes: number): Promise<Buffer> {
    return this.body.readWhole(maxBytes);
  }

  fetchUpstream(request: Parameters<ExchangeIo["fetchUpstream"]>[0]): Promise<UpstreamAnswer> {
    return fetchUpstream(this.route, request, this.#context.limits.upstreamConnectTimeoutMs);
  }

  /** An upgrade was accepted: its response goes through the chain like any other; `accept` then writes it. */
  switching(statusText: string, flat: readonly string[], accept: (response: LiveResponse) => void): void {
    this.#upstreamMs = this.#context.clock.mono() - this.#askedMono;
    this.#answer.switching(statusText, this.route.received(flat, this.live), accept);
  }

  takenBy(tunnel: RunningTunnel): void {
    this.#answer.status = 101;
    this.tunnel = tunnel;
    this.#call = undefined;
  }

  onMalformed(error: GatewayError): boolean {
    if (this.#lingers) return true;
    // The next request on the connection is what broke, or the answer has begun.
    if (this.#over || this.inbound.stream.complete || this.#answer.headSent) return false;
    this.bodyFailed(error);
    return true;
  }

  onHalfClosed(): void {
    if (!this.#over) this.#halfClosed ??= new HalfClosed(this.inbound.stream, this.writer);
  }

  /** Keeps what gives the running upgrade handshake up. */
  holdCall(call: UpstreamCall): void {
    this.#call = call;
  }

  revoke(error: GatewayError, because: string): void {
    // What is refused already only has to reach a slow client.
    if (this.#over || this.#answer.error !== undefined) return;
    this.live.refusedBecause = because;
    this.#answer.revoke(error);
    if (this.tunnel === undefined) this.bodyFailed(error);
    else this.tunnel.end();
  }

  closing(): boolean {
    return this.#context.draining() || this.inbound.stream.upgrades || this.#halfClosed !== undefined;
  }

  dropUpstream(): void {
    this.#call?.abort();
    this.#call = undefined;
    this.body.stop();
  }

  linger(): void {
    const { writer } = this;
    this.#answeredMono = this.#context.clock.mono();
    writer.endHeld();
    this.body.discard(() => writer.close());
    this.#lingers = writer.through;
    if (this.#lingers) this.finish(writer.bytes);
  }

  tapFailed(error: unknown): void {
    this.#context.logger.error({ requestId: this.live.id, err: error }, "body tap failed");
  }

  readonly crashed = (error: unknown): void => {
    this.#context.logger.error({ requestId: this.live.id, err: error }, "exchange failed");
    this.dropUpstream();
    if (this.#over) return;
    const failure = new GatewayError("internal_error", "The sidecar failed.", { cause: error });
    if (this.#answer.headSent || this.#answer.error?.code === "internal_error") this.#answer.breakOff();
    else this.#answer.write(LiveResponse.fromError((this.#answer.error = failure), this.live.id));
  };

  /** The exchange is over, however it ended: hooks, metrics, and the snapshot it kept. */
  finish(responseBytes: number): void {
    if (this.#over) return;
    this.#over = true;
    const { status, broken } = this.#answer;
    const complete = status === 101 || this.#lingers || (this.inbound.stream.finished && !broken);
    this.live.end(!complete);
    if (!complete) this.writer.abandoned();
    this.dropUpstream();
    this.writer.settle();
    this.body.settle();
    const outcome = outcomeOf({
      complete,
      answer: this.#answer,
      live: this.live,
      endedMono: this.#answeredMono ?? this.#context.clock.mono(),
      upstreamMs: this.#upstreamMs,
      requestBytes: this.body.bytes,
      responseBytes,
    });
    // A hook that has not settled yet may still take what its onComplete gives back, and needs its plugin.
    if (this.live.busy) this.live.whenIdle(() => this.#completed(outcome));
    else this.#completed(outcome);
  }

  #completed(outcome: Outcome): void {
    this.chain.complete(this.live, outcome);
    this.route.count(this.inbound.head.method, outcome);
    this.policy.snapshot.leave();
    this.#context.ended(this);
  }

  /** @param failure what is answered when the hooks have nothing better; without one, the exchange is forwarded */
  #whenDecided(verdict: Verdict | Promise<Verdict>, failure?: GatewayError): void {
    if (!(verdict instanceof Promise)) this.#decided(verdict, failure);
    else verdict.then((settled) => this.#decided(settled, failure)).catch(this.crashed);
  }

  #decided(verdict: Verdict, failure?: GatewayError): void {
    if (this.#over) return;
    if (verdict?.action === "respond") this.#answer.send(LiveResponse.fromVerdict(verdict));
    else if (verdict?.action === "reject") this.fail(verdict.error);
    else if (failure !== undefined) this.fail(failure);
    else this.#forward();
  }

  #forward(): void {
    if (this.#routing.unanswered !== undefined) this.fail(this.#routing.unanswered);
    else if (this.inbound.head.body !== "none" && takesInFirst(this, () => this.#decided(undefined))) return;
    else if (!countHop(this.live.request)) {
      this.#answer.send(LiveResponse.fromVerdict({ action: "respond", status: 204 }));
    } else {
      this.#askedMono = this.#context.clock.mono();
      this.#context.forward(this);
    }
  }

  /** What has come of the request's body must not count as complete. */
  bodyFailed(error: GatewayError): void {
    if (this.#over) return;
    this.dropUpstream();
    this.#answer.error = error;
    if (this.#answer.headSent) this.#answer.breakOff();
    else this.fail(error);
  }
}
