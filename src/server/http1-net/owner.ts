// The interface of the server that its connections see.
import type { Socket } from "node:net";
import type { ServerStream } from "../../exchange/server-stream.ts";
import type { Carried } from "../accept.ts";
import type { HeldBytes } from "./held-bytes.ts";
import type { ResponseHead } from "./response-head.ts";

export interface ConnectionLimits {
  readonly maxHeaderBytes: number;
  readonly headerTimeoutMs: number;
  /** 0 = no limit. */
  readonly keepAliveMs: number;
}

export interface ConnectionOwner {
  readonly limits: ConnectionLimits;
  readonly held: HeldBytes;
  readonly head: ResponseHead;
  onRequest(stream: ServerStream): void;
  onConnect(target: string, socket: Socket, carried: Carried): void;
  onParserError(error: NodeJS.ErrnoException, socket: Socket, carried: Carried): void;
  onCrowding(socket: Socket): void;
}
