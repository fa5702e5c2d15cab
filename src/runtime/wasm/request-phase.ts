// Shows a request to a guest: its head, and its whole body at once.
import { GatewayError, type MaybePromise, type Verdict } from "../../plugin-api/contract.ts";
import { hooks } from "./guest-host.ts";
import type { GuestStream } from "./guest-stream.ts";

type Decision = Exclude<Verdict, void> | undefined;

/** Throws or rejects when the guest fails, or does something it must not. */
export function askRequest(stream: GuestStream): MaybePromise<Verdict> {
  const asked = stream.begin();
  if (asked instanceof Promise) return asked.then((action) => afterHead(stream, action));
  return afterHead(stream, asked);
}

function afterHead(stream: GuestStream, action: number): MaybePromise<Verdict> {
  const { policy, exchange, effects } = stream;
  const decision = decided(stream);
  if (decision !== undefined) return decision;
  const goOn = policy.hooks.requestBody && exchange.request.hasBody ? showBody : forwarded;
  // A guest that paused without a call in progress waits for the body, so it is shown the body.
  const waits = action !== 0 && (goOn === forwarded || stream.calls > 0 || effects.resumed[0] === true);
  if (!waits) return goOn(stream);
  return stream.paused(0).then(() => decided(stream) ?? goOn(stream));
}

/** Shows the body to the guest and forwards what the guest makes of it. */
async function showBody(stream: GuestStream): Promise<Verdict> {
  const { requestBytes, failMode, log } = stream.policy;
  let body: Buffer;
  try {
    body = await stream.exchange.readBody(requestBytes);
  } catch (error) {
    const isTooLarge = error instanceof GatewayError && error.code === "payload_too_large";
    if (failMode === "closed" || !isTooLarge) throw error;
    log.warn(`the plugin is not shown a body of more than ${requestBytes} bytes`, stream.requestId);
    return forwarded(stream);
  }
  stream.effects.resumed[0] = false;
  const action = await stream.call(hooks.requestBody, 1, "", body.toString("latin1"));
  const decision = decided(stream);
  if (decision !== undefined) return decision;
  if (action !== 0) await stream.paused(0);
  return decided(stream) ?? forwarded(stream);
}

function forwarded({ effects, exchange }: GuestStream): undefined {
  effects.phase = "forwarded";
  if (effects.requestBody !== undefined) exchange.replaceBody(effects.requestBody);
  effects.requestBody = undefined;
}

/** @returns what the guest wants instead of forwarding. @throws Error when the guest did something it must not */
function decided({ effects, exchange }: GuestStream): Decision {
  const { trouble, reply, isClosed } = effects;
  if (trouble !== undefined) throw trouble;
  if (reply !== undefined) {
    effects.phase = "forwarded";
    if (reply.details !== "") exchange.refusedBecause = reply.details;
    // The reply is sent once; the response phase may bring another.
    effects.reply = undefined;
    return reply;
  }
  if (!isClosed) return undefined;
  effects.isClosed = false;
  const error = new GatewayError("plugin_failed", "A plugin of this route closed the request.");
  return { action: "reject", error };
}
