// Runs a service's response to a plugin's own request through the hooks of later plugins, so that the exchange's plugin
// gets it as it would have come on the normal way.
import { pipeline, Readable } from "node:stream";
import type { UpstreamAnswer } from "../plugin-api/contract.ts";
import type { Chain } from "../runtime/chain.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import { type BodySource, LiveResponse } from "../runtime/response.ts";

/** Rejects with the error of a plugin that must not fail. */
export async function throughLaterHooks(
  chain: Chain,
  exchange: LiveExchange,
  answer: UpstreamAnswer,
): Promise<UpstreamAnswer> {
  const { status, fields } = answer;
  const body = new CollectableBody(answer.body);
  const received = LiveResponse.fromUpstream(status, "", fields);
  received.source = body;
  let response: LiveResponse;
  try {
    response = await chain.responseBeyond(exchange, received);
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
  // No client receives this body, so taps are ended.
  response.taps?.abort();
  if (response.error !== undefined) {
    answer.body.destroy();
    throw response.error;
  }
  return {
    status: response.status,
    fields: response.fields,
    body: bodyOf(response, body),
    get failedOpen() {
      return response.failedOpen;
    },
  };
}

function bodyOf(
  { body, transforms = [] }: LiveResponse,
  received: UpstreamAnswer["body"],
): UpstreamAnswer["body"] {
  if (body !== undefined) received.destroy();
  else if (transforms.length === 0) return received;
  const source = body === undefined ? Readable.from(received) : Readable.from([body]);
  // The reader of the last stream sees if the body breaks off.
  for (const [i, stream] of transforms.entries()) pipeline(transforms[i - 1] ?? source, stream, () => {});
  return transforms.at(-1) ?? source;
}

/** A body that a hook may read whole, and that its later reader still gets. */
class CollectableBody implements BodySource {
  readonly #body: UpstreamAnswer["body"];
  readonly #chunks: AsyncIterator<Buffer>;
  #collected: Buffer[] = [];
  #bytes = 0;
  #complete = false;

  constructor(body: UpstreamAnswer["body"]) {
    this.#body = body;
    this.#chunks = body[Symbol.asyncIterator]();
  }

  async collect(maxBytes: number): Promise<Buffer | undefined> {
    while (!this.#complete && this.#bytes <= maxBytes) {
      const next = await this.#chunks.next();
      if (next.done === true) this.#complete = true;
      else {
        this.#collected.push(next.value);
        this.#bytes += next.value.length;
      }
    }
    return this.#bytes > maxBytes ? undefined : Buffer.concat(this.#collected);
  }

  destroy(): void {
    this.#body.destroy();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    const collected = this.#collected;
    this.#collected = [];
    try {
      yield* collected;
      while (!this.#complete) {
        const next = await this.#chunks.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      this.destroy();
    }
  }
}
