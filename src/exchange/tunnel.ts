// Joins the two connections of an upgrade after its 101. Bytes go both ways until either side ends, or until the
// caller's access is withdrawn.
import type { Duplex } from "node:stream";
import type { Outcome } from "../plugin-api/exchange.ts";
import type { CarriedExchange } from "./context.ts";
import { Messages, tooManyMessages } from "./messages.ts";
import type { DetachedConnection } from "./server-stream.ts";
import { closeFrame, FrameFollower, noCloseFrame } from "./websocket-frames.ts";

/** The upstream's side of an accepted handshake. */
export interface UpstreamSide {
  readonly protocol: string;
  readonly socket: Duplex;
  /** Bytes that came after the 101. */
  readonly head: Buffer;
}

/** RFC 6455 section 7.4.1: a message violates the endpoint's policy. */
const policyViolation = 1008;
/** Section 7.4.1: the endpoint is going away. */
const goingAway = 1001;
/** How long an ended tunnel waits for the end of a frame, and for the client to take its last frame. */
const lingerMs = 1_000;
/** How long a client may leave the 101 itself untaken. */
const headMs = 5_000;

/** How a WebSocket ended (RFC 6455 section 7.1.5), and which side closed it first; only the code if no side did. */
export type Closing = Required<Pick<Outcome, "closeCode" | "closedBy">>;

export class Tunnel {
  readonly #exchange: CarriedExchange;
  readonly #connection: DetachedConnection;
  readonly #client: Duplex;
  readonly #service: Duplex;
  readonly #early: Buffer;
  /** For a WebSocket: follows the frames to the client and from it. */
  readonly #frames: { readonly down: FrameFollower; readonly up: FrameFollower } | undefined;
  #bytesDown = 0;
  #bytesUp = 0;
  readonly #messages: Messages | undefined;
  #closing: Closing | undefined = undefined;
  #open = 2;
  #ending = false;
  #leaving = false;
  #linger: NodeJS.Timeout | undefined = undefined;
  #headLimit: NodeJS.Timeout | undefined = undefined;

  constructor(
    exchange: CarriedExchange,
    connection: DetachedConnection,
    { protocol, socket, head }: UpstreamSide,
  ) {
    this.#exchange = exchange;
    this.#connection = connection;
    this.#client = connection.side;
    this.#service = socket;
    this.#early = head;
    const isWebSocket = protocol.toLowerCase() === "websocket";
    const frames = isWebSocket ? { down: new FrameFollower(), up: new FrameFollower() } : undefined;
    this.#frames = frames;
    if (frames === undefined) return;
    const { maxMessagesPerSecond } = exchange.route;
    const tooMany = (): void => exchange.revoke(tooManyMessages, "more messages than maxMessagesPerSecond");
    // The chunk with the excess message has not been forwarded yet.
    this.#messages = new Messages({ request: frames.up, response: frames.down }, maxMessagesPerSecond, () =>
      process.nextTick(tooMany),
    );
    exchange.messages = this.#messages;
  }

  get moved(): number {
    return this.#bytesDown + this.#bytesUp;
  }

  get bytesUp(): number {
    return this.#bytesUp;
  }

  /** How a WebSocket ended; undefined = it is none. */
  get closing(): Closing | undefined {
    return this.#closing ?? (this.#frames && { closeCode: noCloseFrame, closedBy: undefined });
  }

  /** Accepts the upgrade and joins the connections. A reset on one side becomes a reset on the other. */
  start(): void {
    const client = this.#client;
    const service = this.#service;
    const { early: fromClient } = this.#connection;
    const fromService = this.#early;
    client.once("close", this.#closed).on("error", () => service.destroy());
    service.once("close", this.#closed).on("error", () => this.#connection.reset());
    // No other bytes wait before the 101. A client that does not take it has left by a reset that Node (26) loses in
    // TLS.
    this.#headLimit = setTimeout(() => this.#connection.destroy(), headMs);
    this.#connection.accept(() => clearTimeout(this.#headLimit));
    if (fromService.length > 0) client.write(fromService);
    if (fromClient.length > 0) service.write(fromClient);
    this.#down(fromService);
    this.#up(fromClient);
    client.on("data", this.#up);
    service.on("data", this.#down);
    client.pipe(service).pipe(client);
  }

  /**
   * Ends the tunnel because the caller's access was withdrawn. A WebSocket gets close frames: the client after the
   * frame in transit, which has a moment to end; the service only if no frame to it is incomplete. Any other protocol
   * is reset, so that neither side takes it for a regular end.
   */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    const client = this.#client;
    const service = this.#service;
    if (this.#leaving) {
      // Both sides have their close frame already.
      this.#connection.destroy();
      return;
    }
    client.unpipe(service);
    service.unpipe(client);
    const frames = this.#frames;
    if (frames === undefined) {
      this.#connection.reset();
      service.destroy();
      return;
    }
    this.#closing ??= { closeCode: policyViolation, closedBy: "sidecar" };
    this.#linger = setTimeout(() => {
      this.#connection.reset();
      service.destroy();
    }, lingerMs);
    // Bytes that the client sends now are dropped.
    client.off("data", this.#up).resume();
    if (frames.up.between) service.write(closeFrame(policyViolation, true));
    if (frames.down.between) this.#sayGoodbye();
    else service.resume();
  }

  /**
   * Announces that the process is about to end. Both sides of a WebSocket get a close frame after the frame in transit.
   * They may then close in their own time, which the caller bounds. Any other protocol gets a regular end.
   */
  goAway(): void {
    if (this.#ending || this.#leaving) return;
    this.#leaving = true;
    const client = this.#client;
    const service = this.#service;
    const frames = this.#frames;
    if (frames === undefined) {
      client.end();
      return;
    }
    this.#closing ??= { closeCode: goingAway, closedBy: "sidecar" };
    client.unpipe(service);
    service.unpipe(client);
    client.off("data", this.#up);
    service.off("data", this.#down);
    takeLeave(client, service, frames.up, closeFrame(goingAway, true));
    takeLeave(service, client, frames.down, closeFrame(goingAway, false));
  }

  #sayGoodbye(): void {
    this.#service.off("data", this.#down);
    this.#service.end();
    this.#service.resume();
    this.#client.end(closeFrame(policyViolation, false));
  }

  /** The first side to close gives the reason; the other's close frame repeats it (section 5.5.1). */
  #seeClose(closedBy: "client" | "service", frames: FrameFollower | undefined): void {
    const closeCode = frames?.closeCode;
    if (closeCode !== undefined) this.#closing ??= { closeCode, closedBy };
  }

  readonly #up = (chunk: Buffer): void => {
    this.#bytesUp += chunk.length;
    this.#messages?.follow(chunk);
    this.#seeClose("client", this.#frames?.up);
  };

  readonly #down = (chunk: Buffer): void => {
    this.#bytesDown += chunk.length;
    const frameEnd = this.#frames?.down.follow(chunk) ?? -1;
    this.#seeClose("service", this.#frames?.down);
    if (!this.#ending) return;
    this.#client.write(frameEnd === -1 ? chunk : chunk.subarray(0, frameEnd));
    if (frameEnd !== -1) this.#sayGoodbye();
  };

  readonly #closed = (): void => {
    this.#open -= 1;
    // An ended client may still have to take its last frame.
    if (!this.#ending || !this.#client.writableEnded) this.#connection.destroy();
    if (!this.#ending || this.#client.destroyed) this.#service.destroy();
    if (this.#open > 0) return;
    clearTimeout(this.#linger);
    clearTimeout(this.#headLimit);
    this.#exchange.finish(this.#bytesDown);
  };
}

/**
 * Forwards the rest of a frame, then the close frame, and then only the end: a receiver ignores bytes after a close
 * frame (RFC 6455 section 1.4).
 */
function takeLeave(from: Duplex, to: Duplex, frames: FrameFollower, close: Buffer): void {
  let said = false;
  const say = (): void => {
    said = true;
    to.write(close);
  };
  from.on("data", (chunk: Buffer) => {
    if (said) return;
    const frameEnd = frames.follow(chunk);
    if (!to.write(frameEnd === -1 ? chunk : chunk.subarray(0, frameEnd))) {
      from.pause();
      to.once("drain", () => from.resume());
    }
    if (frameEnd !== -1) say();
  });
  from.once("end", () => to.end());
  if (frames.between) say();
  from.resume();
}
