// Finds what a connection of node:http carries now, by properties that are not public.
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Carried } from "../accept.ts";
import type { Http1Stream } from "./stream.ts";

/** Neither property is public, but both are there since Node 0.x. */
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

/** Ends a connection: at once if it carries no request, else with the answer, if its head can still say so. */
export function endSoon(socket: HttpSocket): void {
  const stream = streamOn(socket);
  if (stream !== undefined) stream.response.shouldKeepAlive = false;
  else if (!isAnswering(socket)) socket.destroySoon();
}

/** Describes the connection for the code that ends it. */
export function carriedOn(socket: HttpSocket): Carried {
  const answers = isAnswering(socket);
  return {
    isAnswering: answers,
    isAnsweredEarly: !answers && socket.parser?.incoming?.complete === false,
    stream: streamOn(socket),
  };
}
