// Counts the messages of one stream (WebSocket frames or gRPC messages) while their bytes pass, without delaying them.
import { GatewayError } from "../plugin-api/errors.ts";

export interface MessageFollower {
  /** The number of messages that have begun. */
  readonly messages: number;
  follow(chunk: Uint8Array): unknown;
}

export class Messages {
  readonly request: MessageFollower;
  readonly response: MessageFollower;
  readonly #rate: MessageRate | undefined;
  readonly #onTooMany: () => void;
  #toldRequest = 0;
  #toldResponse = 0;

  /**
   * @param maxPerSecond limit for messages from the client; Infinity = no limit
   * @param onTooMany called for each chunk that exceeds the limit
   */
  constructor(
    { request, response }: Pick<Messages, "request" | "response">,
    maxPerSecond: number,
    onTooMany: () => void,
  ) {
    this.request = request;
    this.response = response;
    this.#rate = maxPerSecond === Infinity ? undefined : new MessageRate(maxPerSecond, performance.now());
    this.#onTooMany = onTooMany;
  }

  /** Follows bytes from the client. */
  follow(chunk: Uint8Array): void {
    this.request.follow(chunk);
    if (this.#rate?.allows(this.request.messages, performance.now()) === false) this.#onTooMany();
  }

  /** Reports how many messages came since the last call. */
  tell(count: (direction: "request" | "response", messages: number) => void): void {
    const { messages: request } = this.request;
    const { messages: response } = this.response;
    if (request > this.#toldRequest) count("request", request - this.#toldRequest);
    if (response > this.#toldResponse) count("response", response - this.#toldResponse);
    this.#toldRequest = request;
    this.#toldResponse = response;
  }
}

/** A token bucket: this many messages per second, and as many at once. */
export class MessageRate {
  readonly #perSecond: number;
  #left: number;
  #counted = 0;
  #atMono: number;

  constructor(perSecond: number, nowMono: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
    this.#atMono = nowMono;
  }

  /** @param messages the total so far */
  allows(messages: number, nowMono: number): boolean {
    const grown = this.#left + ((nowMono - this.#atMono) / 1_000) * this.#perSecond;
    this.#left = Math.min(this.#perSecond, grown) - (messages - this.#counted);
    this.#counted = messages;
    this.#atMono = nowMono;
    return this.#left >= 0;
  }
}

export const tooManyMessages = new GatewayError(
  "rate_limited",
  "More messages a second than the route allows.",
);
