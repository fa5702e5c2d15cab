// A response of the service that another request than the exchange's own has brought, as the exchange's plugin may have
// it: changed by the plugins behind that one, as it would have been on its way there.
import { pipeline, Readable } from "node:stream";
import type { UpstreamAnswer } from "../plugin-api/contract.ts";
import type { Chain } from "../runtime/chain.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import { LiveResponse } from "../runtime/response.ts";

/** Rejects with the error that a plugin which must not fail has failed with. */
export async function throughLaterHooks(
  chain: Chain,
  exchange: LiveExchange,
  answer: UpstreamAnswer,
): Promise<UpstreamAnswer> {
  const { status, fields } = answer;
  let response: LiveResponse;
  try {
    response = await chain.responseBeyond(exchange, LiveResponse.fromUpstream(status, "", fields));
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
  // Nobody gets this body as a client does.
  response.taps?.abort();
  if (response.error !== undefined) {
    answer.body.destroy();
    throw response.error;
  }
  return { status: response.status, fields: response.fields, body: bodyOf(response, answer.body) };
}

function bodyOf(
  { body, transforms = [] }: LiveResponse,
  received: UpstreamAnswer["body"],
): UpstreamAnswer["body"] {
  if (body !== undefined) received.destroy();
  else if (transforms.length === 0) return received;
  const source = body === undefined ? Readable.from(received) : Readable.from([body]);
  // What breaks off is told to whoever reads the end of it.
  for (const [i, stream] of transforms.entries()) pipeline(transforms[i - 1] ?? source, stream, () => {});
  return transforms.at(-1) ?? source;
}
