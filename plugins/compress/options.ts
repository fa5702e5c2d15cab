// Options of the compress plugin.
import { z } from "zod";
import { byteSize } from "../../src/language/byte-size.ts";
import { typePattern } from "./media-types.ts";

export const compressOptions = z.strictObject({
  codings: z
    .array(z.enum(["zstd", "br", "gzip"]))
    .min(1)
    .max(3)
    .refine((codings) => new Set(codings).size === codings.length, { error: "names a coding twice" })
    .default(["zstd", "br", "gzip"])
    .describe("Content codings, best first: of those that a client weighs alike the first is taken."),
  types: z
    .array(z.string().regex(typePattern, "must be a media type, type/*, type/*+suffix or */*"))
    .min(1)
    .max(64)
    .default([
      "text/*",
      "application/json",
      "application/*+json",
      "application/xml",
      "application/*+xml",
      "application/javascript",
      "application/wasm",
      "image/svg+xml",
    ])
    .describe("Media types that are compressed; event streams and gRPC never are."),
  minBytes: byteSize(1, 1_048_576)
    .default(1_024)
    .describe("Shorter bodies stay as they are, unless the client refuses that (`identity;q=0`)."),
  unknownLength: z
    .boolean()
    .default(true)
    .describe(
      "Whether bodies without a Content-Length are compressed: each piece as it comes, none is held up.",
    ),
  credentials: z
    .enum(["never", "explicit", "always"])
    .default("never")
    .describe(
      "Whether that is compressed which may hold a caller's secrets: `explicit` = where the credential is one that no page of another site can make a browser send (Bearer, DPoP, API key). See BREACH above.",
    ),
  levels: z
    .strictObject({
      gzip: z.int().min(1).max(9).default(6).describe("Level of gzip."),
      br: z.int().min(0).max(9).default(4).describe("Quality of Brotli."),
      zstd: z.int().min(1).max(12).default(3).describe("Level of Zstandard."),
    })
    .prefault({})
    .describe("How much work is put into it."),
  maxConcurrent: z
    .int()
    .min(1)
    .max(4_096)
    .default(64)
    .describe("Bodies that are being compressed at once, in the process; further ones go out as they are."),
});

export type CompressOptions = z.output<typeof compressOptions>;
