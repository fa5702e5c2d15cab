// What a connection of node:http carries now: what of it is not public.
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Carried } from "../accept.ts";
import type { Http1Stream } from "./stream.ts";

/** Neither is public, but both are there since Node 0.x. */
interface HttpSocket extends Socket {
  readonly _httpMessage?: { readonly serverStream?: Http1Stream } | null;
  readonly parser?: { readonly incoming?: IncomingMessage | null } | null;
}

/** The request that is being answered. */
export function streamOn(socket: HttpSocket): Http1Stream | undefined {
  return socket._httpMessage?.serverStream;
}

/** Whether an earlier request on the connection is not answered yet. */
export function isAnswering(socket: HttpSocket): boolean {
  return socket._httpMessage !== null && socket._httpMessage !== undefined;
}

/** Ends a connection: at once where nothing is asked on it, else with the answer, if that can still say so. */
export function endSoon(socket: HttpSocket): void {
  const stream = streamOn(socket);
  if (stream !== undefined) stream.response.shouldKeepAlive = false;
  else if (!isAnswering(socket)) socket.destroySoon();
}

/** What it is for whoever ends it. */
export function carriedOn(socket: HttpSocket): Carried {
  const answers = isAnswering(socket);
  return {
    isAnswering: answers,
    isAnsweredEarly: !answers && socket.parser?.incoming?.complete === false,
    stream: streamOn(socket),
  };
}
