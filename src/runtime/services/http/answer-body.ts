// Reads the body of an answer to a plugin's own call: up to a size limit, and decoded where the server encoded it,
// whether asked to or not.
import type { IncomingMessage } from "node:http";
import { pipeline, type Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

/** RFC 9110 section 8.4.1, and Brotli of RFC 7932. */
const decoders: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ["gzip", createGunzip],
  ["x-gzip", createGunzip],
  ["deflate", createInflate],
  ["br", createBrotliDecompress],
]);

/** The server answered, but the answer cannot be accepted. */
export class BadAnswer extends Error {
  override readonly name = "BadAnswer";
}

/** The bytes that all current answers of one plugin may take together. */
export class AnswerRoom {
  readonly #max: number;
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** @throws BadAnswer when there is no room */
  take(bytes: number): void {
    this.#used += bytes;
    if (this.#used > this.#max)
      throw new BadAnswer(`the plugin's answers under way are larger than ${this.#max} bytes together`);
  }

  giveBack(bytes: number): void {
    this.#used -= bytes;
  }
}

/**
 * @throws BadAnswer when the content coding is unknown, when there are several codings, and when the body is too large
 */
export async function collectBody(
  response: IncomingMessage,
  maxBytes: number,
  room: AnswerRoom,
): Promise<Buffer> {
  const coding = (response.headers["content-encoding"] ?? "identity").toLowerCase();
  if (coding === "identity" || coding === "") return await collect(response, maxBytes, room);
  const makeDecoder = decoders.get(coding);
  if (makeDecoder === undefined) {
    response.destroy();
    throw new BadAnswer(`the answer's content coding is not known: ${coding.slice(0, 40)}`);
  }
  // The limit applies to the decoded bytes: a few encoded bytes can expand to gigabytes.
  const decoder = makeDecoder();
  return await collect(
    pipeline(response, decoder, () => undefined),
    maxBytes,
    room,
  );
}

async function collect(body: Readable, maxBytes: number, room: AnswerRoom): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      room.take(chunk.length);
      // Leaving the loop destroys the stream, and the pipeline then destroys the response.
      if (bytes > maxBytes) throw new BadAnswer(`the answer is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    room.giveBack(bytes);
  }
}
