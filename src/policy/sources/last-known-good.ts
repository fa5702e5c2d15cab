// Keeps the last known good policy on disk, for a start while Redis is down. It is stored as it came, with its
// signatures, so that it passes the same checks again when it is loaded.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { CheckDisk } from "../../files/check-disk.ts";
import { KeptFile } from "../../files/kept-file.ts";
import { digestOf } from "../document/digest.ts";
import { defaultMaxBytes } from "../document/parse.ts";
import type { RawPolicy } from "../read.ts";
import type { PolicySource } from "./source.ts";

export interface KnownGoodPolicy {
  /** undefined = no policy was in force yet, and only keys are known. */
  readonly raw: RawPolicy | undefined;
  /** The key documents that count, oldest first. */
  readonly keySets?: readonly Uint8Array[] | undefined;
  readonly revision: number;
  /** The source that the policy came from. A copy from a file says nothing about what Redis had. */
  readonly from: PolicySource["kind"];
}

export interface LastKnownGood {
  /** Never rejects. undefined = there is no copy, or no usable one (reported through `onTrouble`). */
  load(): Promise<KnownGoodPolicy | undefined>;
  /** Writes in the background; of several waiting copies only the latest. */
  save(kept: KnownGoodPolicy): void;
  /** Resolves once every copy is saved. */
  settled(): Promise<void>;
}

export interface LastKnownGoodOptions {
  /** OUTRIGGER_STATE_DIR; created if missing. */
  readonly dir: string;
  readonly service: string;
  /** Size limit of a document. */
  readonly maxBytes?: number;
  /** Receives problems with the copy. The policy in force does not depend on it. */
  readonly onTrouble: (message: string) => void;
  readonly checkDisk?: CheckDisk | undefined;
  /** Delay between a failed write and the next. */
  readonly retryMs?: number;
}

/**
 * Room beside the two documents (whose bytes are escaped): for key documents, and for documents kept under a higher
 * limit.
 */
const moreBytes = 16 * 1_048_576;

const onDisk = z.strictObject({
  version: z.literal(1),
  from: z.enum(["redis", "file"]),
  format: z.enum(["json", "yaml", "any"]),
  revision: z.int().min(0),
  keptAt: z.string(),
  /** null if only keys are known; older versions refuse such a file. */
  shared: z.string().nullable(),
  layer: z.string().nullable(),
  /** Written only if there are any: older versions do not know this member. */
  keySets: z.array(z.string()).exactOptional(),
  /** Checksum of both documents: a torn or bit-flipped copy is not a policy. */
  sha256: z.string(),
});

export function createLastKnownGood({
  dir,
  service,
  maxBytes = defaultMaxBytes,
  onTrouble,
  checkDisk,
  retryMs,
}: LastKnownGoodOptions): LastKnownGood {
  const path = join(dir, `policy-${service}.json`);
  const file = new KeptFile({
    dir,
    path,
    checkDisk,
    retryMs,
    onTrouble: (error) => onTrouble(`the policy could not be kept in ${path}: ${reason(error)}`),
  });

  return {
    async load() {
      await file.tidy();
      try {
        if ((await stat(path)).size > 4 * maxBytes + moreBytes) throw new Error("too large");
        return parse(await readFile(path, "utf8"));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        onTrouble(`the kept policy in ${path} is ignored: ${reason(error)}`);
        return undefined;
      }
    },
    save(kept) {
      file.save(() => serialise(kept));
    },
    async settled() {
      await file.settled();
    },
  };
}

function serialise({ raw, revision, from, ...kept }: KnownGoodPolicy): string {
  const shared = textOf(raw?.shared);
  const layer = textOf(raw?.layer);
  const keySets = (kept.keySets ?? raw?.keySets ?? []).map((bytes) => Buffer.from(bytes).toString("utf8"));
  const content: z.input<typeof onDisk> = {
    version: 1,
    from,
    format: raw?.format ?? "json",
    revision,
    keptAt: new Date().toISOString(),
    shared,
    layer,
    ...(keySets.length > 0 && { keySets }),
    sha256: checksum(shared, layer),
  };
  return JSON.stringify(content);
}

function parse(text: string): KnownGoodPolicy {
  const result = onDisk.safeParse(JSON.parse(text));
  if (!result.success) throw new Error("not a kept policy");
  const { shared, layer, format, revision, from, sha256, keySets } = result.data;
  if (sha256 !== checksum(shared, layer)) throw new Error("damaged");
  const counting = keySets?.map((each) => Buffer.from(each));
  if (shared === null) return { raw: undefined, keySets: counting, revision, from };
  const raw = {
    shared: Buffer.from(shared),
    layer: layer === null ? undefined : Buffer.from(layer),
    format,
    ...(counting && { keySets: counting }),
  };
  return { raw, keySets: counting, revision, from };
}

function textOf(document: Uint8Array | undefined): string | null {
  return document === undefined ? null : Buffer.from(document).toString("utf8");
}

function checksum(shared: string | null, layer: string | null): string {
  return digestOf(JSON.stringify([shared, layer]));
}

function reason(error: unknown): string {
  if (error instanceof SyntaxError) return "damaged";
  return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
}
