// Makes the compressing streams, one per body. Their number is bounded: each takes memory, and threads are few.
import type { Duplex } from "node:stream";
import zlib, { constants } from "node:zlib";
import type { Coding } from "./negotiation.ts";
import type { CompressOptions } from "./options.ts";
import { ShortBody, shortBytes } from "./short-body.ts";

/** A compressing stream as Node's zlib makes them. */
export type Compressor = Duplex & { readonly bytesWritten: number };

/** @param bytes length of the body; undefined = not known. With a length, no piece is flushed early */
type Make = (bytes: number | undefined) => Compressor;

/** log2 of a window that just holds a short body: a larger one would waste memory. */
const windowOf = (bytes: number | undefined, most: number): number =>
  bytes === undefined ? most : Math.max(12, Math.min(most, Math.ceil(Math.log2(bytes + 1))));

/** Size of each output chunk: a short body fits into one and needs no 16 KiB for it. */
const outputOf = (bytes: number | undefined): { chunkSize?: number } =>
  bytes === undefined || bytes > shortBytes ? {} : { chunkSize: Math.max(512, bytes >> 2) };

const maxHint = 65_536;

interface Codec<Options> {
  readonly options: (level: number, bytes: number | undefined) => Options;
  readonly stream: (options: Options) => Compressor;
  readonly whole: (body: Buffer, options: Options) => Buffer;
}

function maker<Options>({ options, stream, whole }: Codec<Options>): (level: number) => Make {
  return (level) => (bytes) => {
    const chosen = options(level, bytes);
    return bytes !== undefined && bytes <= shortBytes
      ? new ShortBody(
          (body) => whole(body, chosen),
          () => stream(chosen),
        )
      : stream(chosen);
  };
}

const makers: Readonly<Record<Coding, (level: number) => Make>> = {
  gzip: maker<zlib.ZlibOptions>({
    options: (level, bytes) => ({
      level,
      windowBits: windowOf(bytes, 15),
      ...outputOf(bytes),
      flush: bytes === undefined ? constants.Z_SYNC_FLUSH : constants.Z_NO_FLUSH,
    }),
    stream: zlib.createGzip,
    whole: zlib.gzipSync,
  }),
  br: maker<zlib.BrotliOptions>({
    options: (quality, bytes) => ({
      ...outputOf(bytes),
      flush: bytes === undefined ? constants.BROTLI_OPERATION_FLUSH : constants.BROTLI_OPERATION_PROCESS,
      params: {
        [constants.BROTLI_PARAM_QUALITY]: quality,
        [constants.BROTLI_PARAM_LGWIN]: windowOf(bytes, 18),
        // Without a hint, or with a large one, Brotli allocates tables of 4 MiB.
        [constants.BROTLI_PARAM_SIZE_HINT]: Math.min(bytes ?? maxHint, maxHint),
      },
    }),
    stream: zlib.createBrotliCompress,
    whole: zlib.brotliCompressSync,
  }),
  // The window is far below the 8 MiB that clients must support (RFC 9659 section 3).
  zstd: maker<zlib.ZstdOptions>({
    options: (level, bytes) => ({
      ...outputOf(bytes),
      flush: bytes === undefined ? constants.ZSTD_e_flush : constants.ZSTD_e_continue,
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_windowLog]: windowOf(bytes, 20),
      },
    }),
    stream: zlib.createZstdCompress,
    whole: zlib.zstdCompressSync,
  }),
};

/** Counts the active streams over all routes. */
export class Compressors {
  #active = 0;

  get active(): number {
    return this.#active;
  }

  /** @returns undefined when `maxConcurrent` are active; the place is free again when the stream closes */
  take(make: Make, bytes: number | undefined, maxConcurrent: number): Compressor | undefined {
    if (this.#active >= maxConcurrent) return undefined;
    const compressor = make(bytes);
    this.#active += 1;
    compressor.once("close", () => {
      this.#active -= 1;
    });
    return compressor;
  }
}

export function compileMakers({ levels }: Pick<CompressOptions, "levels">): Readonly<Record<Coding, Make>> {
  return {
    gzip: makers.gzip(levels.gzip),
    br: makers.br(levels.br),
    zstd: makers.zstd(levels.zstd),
  };
}
