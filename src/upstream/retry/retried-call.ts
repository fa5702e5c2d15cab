// Stands between an exchange and the transport, and retries failed calls. Until an answer is passed on to the exchange,
// the request's body is kept, and each try is a call of its own.
import { GatewayError } from "../../plugin-api/errors.ts";
import { fieldOf } from "../../http2/fields.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "../transport.ts";
import { deadlineOf, nextTry } from "./next-try.ts";
import type { CallKind, RetryParts } from "./parts.ts";
import { ReplayBody } from "./replay-body.ts";
import type { RetryResult } from "./retries.ts";
import {
  backoffMs,
  isAbsence,
  isGatewayError,
  mayHaveActed,
  pushbackMs,
  reasonOfFailure,
  retryAfterMs,
  type RetryReason,
  unavailable,
} from "./rules.ts";
import type { WaitingCall } from "./waiting-calls.ts";

interface Head {
  readonly status: number;
  readonly text: string;
  readonly fields: readonly string[];
}

/**
 * How long a gRPC head without a status is held: in a refusal without a message, the status comes right after it. A
 * longer wait would hold up streams whose first message comes late.
 */
const statusWaitMs = 20;

export class RetriedCall implements UpstreamCall, UpstreamHandler, WaitingCall {
  waitsUntil = 0;
  readonly #parts: RetryParts;
  readonly #request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  readonly #kind: CallKind;
  readonly #startedMono: number;
  readonly #body: ReplayBody | undefined;
  #state: "asking" | "pausing" | "waiting" | "answered" | "over" = "asking";
  #call: UpstreamCall | undefined = undefined;
  #tries = 0;
  /** When the first try is due; known once it has failed. */
  #deadline: number | undefined = undefined;
  /** When the request was sent completely. */
  #outMono: number | undefined;
  #head: Head | undefined = undefined;
  #cancelTimer: (() => void) | undefined = undefined;
  #awaitsDrain = false;
  /** The client does not wait for a 100: it was told to continue, or has sent the body without it. */
  #goesOn = false;

  constructor(parts: RetryParts, request: UpstreamRequest, handler: UpstreamHandler, kind: CallKind) {
    this.#parts = parts;
    this.#request = { ...request, tried: [] };
    this.#handler = handler;
    this.#kind = kind;
    this.#startedMono = parts.retries.time.mono();
    const streams = request.body === "stream";
    this.#outMono = streams ? undefined : this.#startedMono;
    const mayKeep = (bytes: number): boolean => handler.mayKeep?.(bytes) ?? false;
    this.#body = streams ? new ReplayBody(parts.rules.replayBytes, mayKeep) : undefined;
  }

  get client(): string | undefined {
    return this.#request.client;
  }

  start(): void {
    const { absence } = this.#parts.waiting;
    if (absence === undefined || !this.#wait(absence)) this.#ask(this.#request);
  }

  write(chunk: Buffer): boolean {
    if (this.#state === "over") return true;
    this.#goesOn = true;
    const call = this.#call;
    if (this.#state !== "answered") this.#body?.add(chunk, call === undefined);
    if (call?.write(chunk) === true) return true;
    this.#awaitsDrain = true;
    return false;
  }

  end(trailers: readonly string[] = []): void {
    this.#outMono ??= this.#now;
    this.#body?.end(trailers);
    this.#call?.end(trailers);
  }

  resume(): void {
    this.#call?.resume();
  }

  abort(): void {
    const call = this.#call;
    this.#over();
    call?.abort();
  }

  onInterim(status: number, fields: readonly string[]): void {
    if (status === 100 && this.#goesOn) return;
    this.#goesOn ||= status === 100;
    this.#handler.onInterim(status, fields);
  }

  onHead(status: number, text: string, fields: readonly string[]): void {
    const { isGrpc, isRepeatable } = this.#kind;
    const grpcStatus = isGrpc ? fieldOf(fields, "grpc-status") : undefined;
    if (isRepeatable && isGatewayError(status) && this.#again("gateway-error", retryAfterMs(fields))) return;
    if (grpcStatus === unavailable && this.#refusedAgain(fields)) return;
    const head = { status, text, fields };
    if (!isGrpc || status !== 200 || grpcStatus !== undefined || !this.#mayAsk("unavailable"))
      this.#answer(head);
    else {
      this.#head = head;
      this.#setTimer(statusWaitMs, () => this.#answer(head));
    }
  }

  onData(chunk: Buffer): boolean {
    if (this.#head !== undefined) this.#answer(this.#head);
    return this.#state === "over" || this.#handler.onData(chunk);
  }

  onEnd(trailers: readonly string[]): void {
    const head = this.#head;
    if (head !== undefined) {
      if (fieldOf(trailers, "grpc-status") === unavailable && this.#refusedAgain(trailers)) return;
      this.#answer(head);
    }
    if (this.#state === "over") return;
    this.#over();
    this.#handler.onEnd(trailers);
  }

  onFail(error: GatewayError): void {
    this.#call = undefined;
    const reason = this.#state === "answered" ? undefined : reasonOfFailure(error.code);
    if (reason !== undefined && this.#failedAgain(reason, error)) return;
    const head = this.#head;
    // Nothing more comes of the answer that has begun.
    if (head !== undefined) this.#answer(head);
    this.#fail(error);
  }

  onDrain(): void {
    this.#awaitsDrain = false;
    this.#handler.onDrain();
  }

  serviceIsBack(): void {
    if (this.#tries > 0) this.#askAgain("connect-failure");
    else this.#askWithin(this.#request.fields);
  }

  waitedInVain(error: GatewayError): void {
    this.#fail(error);
  }

  get #now(): number {
    return this.#parts.retries.time.mono();
  }

  #ask(request: UpstreamRequest): void {
    this.#state = "asking";
    this.#tries += 1;
    const call = this.#parts.transport.send(request, this);
    // The call may have failed at once.
    if (this.#state !== "asking") return;
    this.#call = call;
    if (this.#body?.sendTo(call) === false || !this.#awaitsDrain) return;
    this.#awaitsDrain = false;
    if (this.#body?.ended !== true) this.#handler.onDrain();
  }

  #askAgain(reason: RetryReason, pausedMs = 0): void {
    this.#count(reason, "sent");
    this.#askWithin(this.#handler.onRetry?.(reason, pausedMs) ?? this.#request.fields);
  }

  #askWithin(fields: readonly string[]): void {
    const leftMs = Math.max(0, (this.#deadline as number) - this.#now);
    this.#setTimer(leftMs, () => this.#late());
    this.#ask(nextTry(this.#request, fields, leftMs));
  }

  /** @returns whether gRPC's refusal leads to another try */
  #refusedAgain(fields: readonly string[]): boolean {
    const pushback = pushbackMs(fields);
    return this.#again("unavailable", pushback ?? 0, pushback);
  }

  /** @returns whether the failure leads to another try */
  #failedAgain(reason: RetryReason, error: GatewayError): boolean {
    if (!this.#kind.isRepeatable && mayHaveActed(reason, error)) return false;
    const { transport, rules } = this.#parts;
    if (!isAbsence(error.code)) return this.#again(reason, 0);
    // If another endpoint may be up, it is tried instead. Like a wait, that costs no budget.
    const hasOther = this.#tries < rules.attempts && transport.hasOther?.(this.#request.tried ?? []) === true;
    return (!hasOther && this.#wait(error)) || this.#again(reason, 0, undefined, hasOther);
  }

  /**
   * Plans another try, if allowed. @returns false = not allowed
   * @param exactMs pause before it, whatever the backoff is @param isFree the try costs no budget
   */
  #again(reason: RetryReason, leastMs: number, exactMs?: number, isFree = false): boolean {
    if (!this.#mayAsk(reason)) return false;
    const { retries, budget, rules } = this.#parts;
    const pauseMs = exactMs ?? Math.max(leastMs, backoffMs(rules.backoffMs, this.#tries, retries.random));
    const now = this.#now;
    if (now + pauseMs >= this.#deadlineFrom(now)) return this.#count(reason, "past_deadline");
    if (this.#body?.lost === true) return this.#count(reason, "body_not_kept");
    if (!isFree && !budget.take(rules.budget, now)) return this.#count(reason, "over_budget");
    const call = this.#call;
    this.#call = undefined;
    this.#head = undefined;
    this.#state = "pausing";
    call?.abort();
    this.#setTimer(pauseMs, () => this.#askAgain(reason, pauseMs));
    return true;
  }

  #mayAsk(reason: RetryReason): boolean {
    const { on, attempts } = this.#parts.rules;
    return on.has(reason) && this.#tries < attempts;
  }

  /**
   * Waits for a service that is absent, as long as allowed. The service has seen nothing of the request, so the wait
   * counts neither as a try nor against the budget.
   * @returns false = no wait is possible
   */
  #wait(failure: GatewayError): boolean {
    const { rules, waiting } = this.#parts;
    const now = this.#now;
    if (rules.holdMs === 0 || !rules.on.has("connect-failure") || this.#body?.lost === true) return false;
    this.waitsUntil = Math.min(this.waitsUntil || now + rules.holdMs, this.#deadlineFrom(now));
    if (this.waitsUntil <= now || !waiting.add(this, failure)) return false;
    this.#cancelTimer?.();
    this.#head = undefined;
    this.#state = "waiting";
    this.#count("connect-failure", "waited");
    return true;
  }

  #deadlineFrom(now: number): number {
    this.#deadline ??= deadlineOf(this.#request, this.#kind, this.#startedMono, this.#outMono ?? now);
    return this.#deadline;
  }

  #late(): void {
    // While the client is still sending, the transport's own limits apply.
    if (this.#state !== "asking" || this.#body?.ended === false) return;
    const call = this.#call;
    this.#call = undefined;
    call?.abort();
    this.#fail(new GatewayError("upstream_timeout", "The service did not answer in time."));
  }

  #answer({ status, text, fields }: Head): void {
    this.#setTimer(undefined);
    this.#head = undefined;
    this.#state = "answered";
    this.#body?.forget();
    this.#handler.onHead(status, text, fields);
  }

  #fail(error: GatewayError): void {
    if (this.#state === "over") return;
    this.#over();
    this.#handler.onFail(error);
  }

  #over(): void {
    if (this.#state === "waiting") this.#parts.waiting.remove(this);
    this.#state = "over";
    this.#call = undefined;
    this.#head = undefined;
    this.#body?.forget();
    this.#setTimer(undefined);
  }

  /** Replaces the running timer. */
  #setTimer(ms: number, run: () => void): void;
  #setTimer(ms: undefined): void;
  #setTimer(ms: number | undefined, run?: () => void): void {
    this.#cancelTimer?.();
    this.#cancelTimer =
      ms === undefined || run === undefined ? undefined : this.#parts.retries.time.after(ms, run);
  }

  #count(reason: RetryReason, result: RetryResult): false {
    this.#parts.retries.count(this.#parts.route, reason, result);
    return false;
  }
}
