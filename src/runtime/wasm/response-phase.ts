// Shows a response to a guest: its head, its body as it arrives, its trailers.
import type { ExchangeResponse, MaybePromise } from "../../plugin-api/contract.ts";
import { after } from "./after.ts";
import { hasContent, maxFields, responseHead } from "./exchange-facts.ts";
import { GuestFailure, hooks } from "./guest-host.ts";
import type { GuestStream } from "./guest-stream.ts";
import { replaceResponse } from "./local-reply.ts";
import { ResponseBody } from "./response-body.ts";

/** Throws or rejects when the guest fails, or does something it must not. */
export function askResponse(stream: GuestStream, response: ExchangeResponse): MaybePromise<void> {
  const { hooks: wanted } = stream.policy;
  if (!wanted.response && !wanted.responseBody && !wanted.responseTrailers) return undefined;
  if (!stream.isHeld) return askAnew(stream, response);
  try {
    const asked = askHead(stream, response);
    return asked instanceof Promise
      ? asked.catch((error: unknown) => askAgain(stream, response, error))
      : asked;
  } catch (error) {
    return askAgain(stream, response, error);
  }
}

/** Asks a new guest, unless the call itself caused the failure. @throws the error in that case */
function askAgain(stream: GuestStream, response: ExchangeResponse, error: unknown): MaybePromise<void> {
  if (!(error instanceof GuestFailure) || error.began) throw error;
  return askAnew(stream, response);
}

function askAnew(stream: GuestStream, response: ExchangeResponse): MaybePromise<void> {
  return after(stream.beginAgain(), () => askHead(stream, response));
}

function askHead(stream: GuestStream, response: ExchangeResponse): MaybePromise<void> {
  const { effects, policy, exchange } = stream;
  effects.phase = "response";
  effects.response = response;
  effects.resumed[1] = false;
  const hasBody = hasContent(exchange, response);
  if (!policy.hooks.response) return afterHead(stream, response, hasBody, 0);
  const { text, count } = responseHead(response, policy.fields);
  const number = Math.min(count, maxFields) * 2 + (hasBody ? 0 : 1);
  const asked = stream.call(hooks.response, number, text, "");
  return after(asked, (action) => afterHead(stream, response, hasBody, action));
}

function afterHead(
  stream: GuestStream,
  response: ExchangeResponse,
  hasBody: boolean,
  action: number,
): MaybePromise<void> {
  const { effects, policy } = stream;
  const isShownBody = hasBody && policy.hooks.responseBody;
  const goOn = (): void => {
    if (replaced(stream, response)) return;
    effects.phase = "streaming";
    if (isShownBody) showBody(stream, response);
    if (policy.hooks.responseTrailers) showTrailers(stream, response);
  };
  // The body can be shown only after the head has gone out, so a guest that paused without a call in progress is shown
  // the body.
  const waits = action !== 0 && !effects.isDecided && (!isShownBody || stream.calls > 0);
  return waits ? stream.paused(1).then(goOn) : goOn();
}

/** @returns whether the guest replaced the response */
function replaced({ effects }: GuestStream, response: ExchangeResponse): boolean {
  const { trouble, reply, isClosed } = effects;
  if (trouble !== undefined) throw trouble;
  if (reply === undefined && !isClosed) return false;
  const closed = { action: "respond", status: 503, fields: [], body: Buffer.alloc(0), details: "" } as const;
  replaceResponse(response, reply ?? closed);
  effects.reply = undefined;
  return true;
}

function showBody(stream: GuestStream, response: ExchangeResponse): void {
  const length = response.fields.get("content-length");
  stream.body = new ResponseBody({
    show: (bytes, isLast) => showChunk(stream, bytes, isLast),
    maxBytes: stream.policy.responseBytes,
    announced: length === undefined ? Number.NaN : Number(length),
  });
  response.through(stream.body);
}

function showChunk(stream: GuestStream, bytes: string, isLast: boolean): MaybePromise<boolean> {
  try {
    if (!stream.isHeld) throw new GuestFailure("the guest is not there any more");
    const asked = stream.call(hooks.responseBody, isLast ? 1 : 0, "", bytes);
    const shown = after(asked, (action): MaybePromise<boolean> => {
      const { trouble, resumed } = stream.effects;
      if (trouble !== undefined) throw trouble;
      if (action === 0) return true;
      if (isLast) return stream.paused(1).then(() => true);
      const goesOn = resumed[1] === true;
      resumed[1] = false;
      return goesOn;
    });
    return shown instanceof Promise ? shown.catch((error: unknown) => chunkFailed(stream, error)) : shown;
  } catch (error) {
    return chunkFailed(stream, error);
  }
}

/** The head is already sent. Fail mode "open" continues without the guest, "closed" breaks the response off. */
function chunkFailed(stream: GuestStream, error: unknown): boolean {
  if (stream.policy.failMode === "closed") throw error;
  stream.body?.letThrough();
  const { response } = stream.effects;
  if (response !== undefined) response.failedOpen = true;
  return true;
}

/** Shows the upstream's trailers, which follow the body. */
function showTrailers(stream: GuestStream, response: ExchangeResponse): void {
  response.tap({
    chunk() {},
    abort() {},
    end() {
      if (response.trailers.size === 0 || !stream.isHeld) return;
      const { text } = stream.policy.fields.textOf("", response.trailers);
      const told = stream.call(hooks.responseTrailers, 0, text, "");
      // A guest in a thread answers only after the trailers are sent.
      if (told instanceof Promise) told.catch(() => {});
    },
  });
}
