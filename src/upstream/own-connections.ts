// Opens the connections that upgrades take over. Their limit is separate from that of shared connections: they last as
// long as clients like, so neither kind may use up the room of the other.
import type { Socket } from "node:net";
import { GatewayError } from "../plugin-api/errors.ts";
import { connectFailure, connectTimeout, type Connector } from "./connector.ts";
import { type Claimant, countOf } from "./shares.ts";
import type { OwnConnectionHandler, OwnRequest } from "./transport.ts";

export class OwnConnections {
  readonly #connector: Connector;
  readonly #most: number;
  readonly #maxOfOne: number;
  readonly #open = new Set<Claimant>();

  /** @param maxOfOne how many one client may have */
  constructor(connector: Connector, most: number, maxOfOne: number) {
    this.#connector = connector;
    this.#most = most;
    this.#maxOfOne = maxOfOne;
  }

  /** The number of connections that are open or being opened. */
  get size(): number {
    return this.#open.size;
  }

  /** The handler is called later, never from within this call. @returns gives up: the handler is not called then */
  open(request: OwnRequest, handler: OwnConnectionHandler): () => void {
    const { client } = request;
    const full =
      this.#open.size >= this.#most ||
      (client !== undefined && countOf(this.#open, client) >= this.#maxOfOne);
    if (!full) return this.#connect(request, handler);
    const turn = setImmediate(() => handler.onFail(overloaded()));
    return () => clearImmediate(turn);
  }

  #connect(
    { client, clientAddress, connectTimeoutMs }: OwnRequest,
    handler: OwnConnectionHandler,
  ): () => void {
    const claim: Claimant = { client };
    const socket = this.#connector.openStream(clientAddress);
    this.#open.add(claim);
    socket.once("close", () => this.#open.delete(claim));
    const { readyEvent } = this.#connector;
    const fail = (error: GatewayError): void => {
      giveUp();
      handler.onFail(error);
    };
    const failed = (error: Error): void => fail(connectFailure(error));
    const limit = setTimeout(() => fail(connectTimeout()), connectTimeoutMs);
    const ready = (): void => {
      clearTimeout(limit);
      socket.off("error", failed);
      handler.onReady(socket);
    };
    const giveUp = (): void => {
      clearTimeout(limit);
      // Later events of the socket do not matter, but an error without a listener would end the process.
      socket.off(readyEvent, ready).off("error", failed).on("error", ignore).destroy();
    };
    socket.once(readyEvent, ready).once("error", failed);
    return giveUp;
  }
}

function overloaded(): GatewayError {
  const fields = ["Retry-After", "1"];
  return new GatewayError("overloaded", "The service has all the upgraded connections that it may have.", {
    fields,
  });
}

function ignore(this: Socket): void {}
