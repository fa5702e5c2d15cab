// The response side of an exchange: the chain in reverse over the head, then head and body to the client. Body chunks
// that come while a hook is still at work on the head wait here.
import type { GatewayError } from "../plugin-api/errors.ts";
import type { Chain } from "../runtime/chain.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { Fields } from "../plugin-api/fields.ts";
import { mayHaveBody, LiveResponse } from "../runtime/response.ts";
import type { TapFaults } from "../runtime/taps.ts";
import type { RequestBody } from "./request-body.ts";
import type { ClientWriter } from "./respond.ts";

export interface AnswerParts extends TapFaults {
  readonly live: LiveExchange;
  readonly chain: Chain;
  readonly writer: ClientWriter;
  readonly body: RequestBody;
  /** Whether the client is told that the connection ends. */
  closing(): boolean;
  /** The upstream's answer is not wanted any more. */
  dropUpstream(): void;
  /** The upstream may send on. */
  resumeUpstream(): void;
  /** The whole answer is with the writer, which ends it while the rest of an unwanted body is dropped. */
  linger(): void;
  /** A fault of our own. */
  crashed(error: unknown): void;
}

export class Answer {
  /** Status of the head that was sent, or is about to be; 0 before. */
  status = 0;
  /** The error that the answer reports. */
  error: GatewayError | undefined = undefined;
  /** The answer broke off after its head. */
  broken = false;
  /** Its caller might not go on. */
  revoked = false;
  readonly #parts: AnswerParts;
  // Which response is the one to send: a failure may come while hooks are at work on an earlier one.
  #turn = 0;
  // What the upstream still sends is for nobody: its body was replaced.
  #replaced = false;
  #early: Buffer[] | undefined = undefined;
  #earlyEnd: readonly string[] | undefined = undefined;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** The caller might not go on. */
  revoke(error: GatewayError): void {
    this.revoked = true;
    this.error = error;
  }

  get headSent(): boolean {
    return this.#parts.writer.headSent;
  }

  /**
   * Runs the response phase and sends what came out of it, in place of any response that is still in that phase.
   * @param then what to do instead of writing it
   */
  send(response: LiveResponse, then: (response: LiveResponse) => void = this.write): void {
    const { live, chain } = this.#parts;
    const turn = (this.#turn += 1);
    if (turn > 1) live.cancelHook(new Error("The response was given up."));
    response.faults = this.#parts;
    const ran = chain.response(live, response);
    if (!(ran instanceof Promise)) this.#finish(ran, then);
    else {
      void ran.then((settled) => {
        if (turn === this.#turn && !live.over) this.#finish(settled, then);
        else settled.discard();
      });
    }
  }

  /** An accepted upgrade: `accept` writes the response that the chain has left a 101. */
  switching(statusText: string, fields: Fields, accept: (response: LiveResponse) => void): void {
    this.send(LiveResponse.fromUpstream(101, statusText, fields), (settled) => {
      if (settled.status === 101) {
        accept(settled);
        return;
      }
      // A plugin refused it; a tunnel has no body that could follow.
      if (settled.body === undefined) settled.replaceBody("");
      this.write(settled);
    });
  }

  readonly write = (response: LiveResponse): void => {
    const { live, writer, body } = this.#parts;
    if (live.over || this.broken || writer.headSent) {
      response.discard();
      return;
    }
    this.status = response.status;
    this.error = response.error ?? this.error;
    const whole = response.body !== undefined;
    if (whole) {
      this.#replaced = true;
      this.#early = undefined;
      // A 304 that became a stored answer is over by itself: its connection serves the next exchange.
      const { received } = response;
      if (received === undefined || mayHaveBody(received)) this.#parts.dropUpstream();
    }
    const unread = whole && live.request.hasBody && !body.complete;
    writer.head(response, unread || this.#parts.closing());
    if (unread) {
      this.#parts.linger();
    } else if (whole) {
      writer.end([]);
    } else {
      this.#flushEarly();
    }
  };

  /** @returns false to hold the upstream up */
  chunk(bytes: Buffer): boolean {
    if (this.#replaced) return true;
    if (this.headSent) return this.#parts.writer.chunk(bytes);
    (this.#early ??= []).push(bytes);
    return false;
  }

  end(trailers: readonly string[]): void {
    if (this.#replaced) return;
    if (this.headSent) this.#parts.writer.end(trailers);
    else this.#earlyEnd = trailers;
  }

  /** The body cannot be completed: the client must not take it for complete. */
  breakOff(): void {
    this.broken = true;
    this.#parts.dropUpstream();
    this.#parts.writer.reset();
  }

  #finish(response: LiveResponse, then: (response: LiveResponse) => void): void {
    try {
      then(response);
    } catch (error) {
      // node:http refuses a field that a plugin or the service made unsendable.
      response.discard();
      this.#parts.crashed(error);
    }
  }

  #flushEarly(): void {
    const early = this.#early;
    this.#early = undefined;
    let more = true;
    for (const chunk of early ?? []) more = this.#parts.writer.chunk(chunk);
    if (this.#earlyEnd !== undefined) this.#parts.writer.end(this.#earlyEnd);
    else if (early !== undefined && more) this.#parts.resumeUpstream();
  }
}
