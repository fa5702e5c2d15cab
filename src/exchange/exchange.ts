// Runs one request: chain, forward, chain in reverse, respond, complete. The exchange alone owns the state; its two
// ends, the request's body and the response's writer, decide nothing. The client's stream and the upstream transport
// call the exchange itself back, so it is one object without closures.
import type { Outcome, Verdict } from "../plugin-api/contract.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { LiveResponse, mayHaveBody } from "../runtime/response.ts";
import type { CarriedExchange, RunningTunnel } from "./context.ts";
import { earlyRefusal } from "./early.ts";
import { ExchangeParts, shuttingDown, unrecorded } from "./exchange-parts.ts";
import { outcomeOf } from "./outcome.ts";
import type { StreamHandler } from "./server-stream.ts";
import { type ExchangeState, mayFollow } from "./state.ts";
import { takesInFirst } from "./take-in.ts";
import { openTunnel } from "./upgrade.ts";
import { countHop } from "./upstream-request.ts";

export class ServerExchange extends ExchangeParts implements CarriedExchange, StreamHandler {
  #state: ExchangeState = "deciding";
  /** The response that is in its phase, or was sent. */
  #response: LiveResponse | undefined = undefined;
  /** Joins the two connections of an upgrade if the response phase leaves the 101 unchanged. */
  #accept: ((response: LiveResponse) => void) | undefined = undefined;
  /** The error that the response reports, or that broke it off. */
  #error: GatewayError | undefined = undefined;
  /** Why this side broke the exchange off. */
  #endedBy: "revoked" | "shutdown" | undefined = undefined;
  #askedMono = 0;
  #upstreamMs: number | undefined = undefined;
  #answeredMono: number | undefined = undefined;

  get over(): boolean {
    return this.#state === "done";
  }

  #to(next: ExchangeState): void {
    if (!mayFollow(this.#state, next)) throw new Error(`${this.#state} cannot become ${next}`);
    this.#state = next;
  }

  /** Runs the chain, then forwards or answers. */
  run(): void {
    this.policy.snapshot.enter();
    this.context.began(this);
    this.inbound.stream.open(this);
    try {
      const refusal = earlyRefusal(this.routing, this.inbound, this.context.clients.maxBodyBytes);
      if (refusal === undefined) this.#decide(this.route.chain.request(this.live));
      else {
        // The whole chain still sees the answer, so it is logged like any other.
        this.live.reached = this.route.chain.steps.length;
        this.#refuse(refusal);
      }
    } catch (error) {
      this.crashed(error);
    }
  }

  /** @param failure the answer if the hooks have no better one; undefined = the exchange is forwarded */
  #decide(verdict: Verdict | Promise<Verdict>, failure?: GatewayError): void {
    if (!(verdict instanceof Promise)) this.#decided(verdict, failure);
    else verdict.then((settled) => this.#decided(settled, failure)).catch((error) => this.crashed(error));
  }

  #decided(verdict: Verdict, failure?: GatewayError): void {
    // A late verdict has no effect.
    if (this.#state !== "deciding" && this.#state !== "rescuing") return;
    if (verdict?.action === "respond") this.#respond(LiveResponse.fromVerdict(verdict));
    else if (verdict?.action === "reject") this.#refuse(verdict.error);
    else if (failure !== undefined) this.#refuse(failure);
    else this.#forward();
  }

  #forward(): void {
    if (this.routing.unanswered !== undefined) this.#refuse(this.routing.unanswered);
    else if (this.policy.audit?.closedTo(this.live) === true) this.#refuse(unrecorded);
    else if (this.inbound.head.body !== "none" && takesInFirst(this, () => this.#decided(undefined))) return;
    else if (!countHop(this.live.request)) {
      this.#respond(LiveResponse.fromVerdict({ action: "respond", status: 204 }));
    } else {
      this.#askedMono = this.context.clock.mono();
      this.#to("forwarding");
      this.context.forward(this);
    }
  }

  openUpstream(): void {
    if (this.inbound.stream.upgrades) openTunnel(this);
    else this.#openPlain();
  }

  #openPlain(): void {
    const body = this.body.whole ?? (this.inbound.head.body === "none" ? "none" : "stream");
    const call = this.route.transport.send(this.upstreamRequest(body), this);
    if (this.#state !== "forwarding") return; // Refused before `send` returned.
    this.call = call;
    if (body === "stream") this.body.pipeTo(call, this.policy.trailers);
  }

  onHead(status: number, statusText: string, flat: readonly string[]): void {
    this.#upstreamMs = this.context.clock.mono() - this.#askedMono;
    if (this.inbound.head.body === "chunked") this.body.unpace();
    this.#respond(LiveResponse.fromUpstream(status, statusText, this.route.received(flat, this.live)));
  }

  onEnd(trailers: readonly string[]): void {
    this.call = undefined;
    this.body.answered();
    this.writer.end(this.policy.trailers.ofResponse(trailers));
  }

  onFail(error: GatewayError): void {
    if (this.over) return;
    this.call = undefined;
    this.body.stop();
    this.#error = error;
    if (this.#state === "forwarding") {
      this.#to("rescuing");
      this.#decide(this.route.chain.error(this.live, error), error);
    } else this.#failed(error);
  }

  switching(statusText: string, flat: readonly string[], accept: (response: LiveResponse) => void): void {
    this.#upstreamMs = this.context.clock.mono() - this.#askedMono;
    this.#respond(LiveResponse.fromUpstream(101, statusText, this.route.received(flat, this.live)), accept);
  }

  takenBy(tunnel: RunningTunnel): void {
    this.#to("upgraded");
    this.tunnel = tunnel;
    this.call = undefined;
  }

  /** Runs the response phase and sends the result. */
  #respond(response: LiveResponse, accept?: (response: LiveResponse) => void): void {
    this.#begin(response);
    this.#accept = accept;
    const ran = this.responsePhase(response);
    if (!(ran instanceof Promise)) this.#responded(response, ran);
    else void ran.then((settled) => this.#responded(response, settled));
  }

  /** Begins a response, in place of any other that is still in its phase. */
  #begin(response: LiveResponse): void {
    if (this.#state === "responding") this.live.cancelHook(new Error("The response was given up."));
    this.#to("responding");
    this.#response = response;
    this.#accept = undefined;
    response.faults = this;
    response.source = this.writer;
  }

  /** @param begun the response whose phase is complete @param response the result of that phase */
  #responded(begun: LiveResponse, response: LiveResponse): void {
    if (this.#state !== "responding" || this.#response !== begun) {
      response.discard();
      return;
    }
    try {
      this.live.answered(response);
      if (this.#accept !== undefined && response.status === 101) this.#accept(response);
      else this.#send(response);
    } catch (error) {
      // A plugin or the service made a field that cannot be sent.
      response.discard();
      this.crashed(error);
    }
  }

  #send(response: LiveResponse): void {
    // A plugin refused an upgrade: without a tunnel, an empty body follows.
    if (this.#accept !== undefined && response.body === undefined) response.replaceBody("");
    const { received } = response;
    this.#error = response.error ?? this.#error;
    const isWhole = response.body !== undefined;
    // A 304 that became a stored answer needs no abort: its upstream side is over.
    if (isWhole && (received === undefined || mayHaveBody(received))) this.dropUpstream();
    const isUnread = isWhole && this.live.request.hasBody && !this.body.complete;
    this.#response = response;
    this.writer.head(response, isUnread || this.isLast);
    this.#to("streaming");
    if (isUnread) this.#linger();
    else if (isWhole) this.writer.endWhole();
    else this.writer.flush();
  }

  /** Hands the whole response to the writer, which ends it while the rest of an unwanted request body is dropped. */
  #linger(): void {
    this.#answeredMono = this.context.clock.mono();
    this.writer.endHeld();
    if (this.#state !== "streaming") return;
    this.body.discard(() => this.writer.close());
    if (this.writer.through) this.#finish(true, this.writer.bytes);
  }

  /** Answers with an error of the sidecar; no plugin turns it into something else. */
  #refuse(error: GatewayError): void {
    this.#respond(LiveResponse.fromError(error, this.live.id));
  }

  /** The expected or running response cannot be completed. */
  #failed(error: GatewayError): void {
    if (this.writer.headSent) this.#breakOff(error);
    else this.#refuse(error);
  }

  /** The received part of the request body must not count as complete. */
  bodyFailed(error: GatewayError): void {
    if (this.over || this.#state === "broken") return;
    this.dropUpstream();
    this.#error = error;
    this.#failed(error);
  }

  revoke(error: GatewayError, because: string): void {
    // An exchange that was already refused only has to reach a slow client.
    if (this.over || this.#error !== undefined) return;
    this.live.refusedBecause = because;
    this.#endedBy = "revoked";
    this.#error = error;
    if (this.tunnel === undefined) this.bodyFailed(error);
    else this.tunnel.end();
  }

  shutDown(): void {
    if (this.over || this.#state === "broken" || this.inbound.stream.finished) return;
    this.#endedBy = "shutdown";
    if (this.tunnel === undefined) this.#breakOff(shuttingDown);
    else this.inbound.stream.destroy();
  }

  onBroken(): void {
    if (this.#state === "streaming") this.#breakOff();
  }

  /** Breaks the response off, so that the client cannot take its part for complete. */
  #breakOff(error?: GatewayError): void {
    this.#to("broken");
    this.dropUpstream();
    if (error === undefined || !this.writer.endEarly(error, this.#endedBy !== undefined)) this.writer.reset();
    else if (!this.body.complete) this.body.discard(() => this.writer.close());
  }

  /** A fault of the sidecar itself. */
  crashed(error: unknown): void {
    this.context.logger.error({ requestId: this.live.id, err: error }, "exchange failed");
    this.dropUpstream();
    if (this.over || this.#state === "broken") return;
    if (this.tunnel !== undefined) this.tunnel.end();
    else if (this.writer.headSent || this.#error?.code === "internal_error") this.#breakOff();
    else {
      const failure = new GatewayError("internal_error", "The sidecar failed.", { cause: error });
      const response = LiveResponse.fromError((this.#error = failure), this.live.id);
      this.#begin(response);
      this.#send(response);
    }
  }

  onClose(): void {
    this.halfClosed?.stop();
    this.#finish(this.inbound.stream.finished && this.#state !== "broken", this.writer.bytes);
  }

  finish(responseBytes: number): void {
    this.#finish(true, responseBytes);
  }

  /** Ends the exchange, however it went: runs hooks and metrics, and releases its snapshot. */
  #finish(complete: boolean, responseBytes: number): void {
    if (this.over) return;
    const last = this.#state;
    this.#to("done");
    this.live.end(!complete);
    if (!complete) this.writer.abandoned();
    this.dropUpstream();
    this.writer.settle();
    this.body.settle();
    const outcome = outcomeOf(this.live, {
      complete,
      last,
      // The status that was sent: http-proxy middleware answers without the writer.
      status: last === "upgraded" ? 101 : this.inbound.stream.status,
      endedBy: this.#endedBy,
      error: this.#error,
      endedMono: this.#answeredMono ?? this.context.clock.mono(),
      upstreamMs: this.#upstreamMs,
      told: this.told,
      responseBytes,
    });
    // A running hook may still take what its onComplete gives back, and needs its plugin.
    if (this.live.busy) this.live.whenIdle(() => this.#completed(outcome));
    else this.#completed(outcome);
  }

  #completed(outcome: Outcome): void {
    this.tell(outcome);
    this.policy.snapshot.leave();
    this.context.ended(this, outcome);
  }
}
