// Reads one policy document in two regions: its content, its last revision, and what was relayed last.
import { createHash } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { parseJson } from "../../language/json.ts";
import { type Store, StoreUnavailable } from "../../plugin-api/store.ts";
import { digestOf } from "../../policy/document/digest.ts";
import {
  type DocumentKeys,
  documentKeys,
  keyBeside,
  type Spread,
} from "../../policy/sources/document-keys.ts";
import { layerKey, sharedKey } from "../../policy/read.ts";
import { type Head, parseHead } from "../revision.ts";

const limitMs = 5_000;
const maxHeadBytes = 16_384;

/** A document in one region. */
export interface Held {
  /** undefined = there is no document. */
  readonly document: Buffer | undefined;
  /** SHA-1 of the document, the only digest in Redis' scripts; "" = there is no document. */
  readonly mark: string;
  /** The document's last revision in that region's history. */
  readonly head: Head | undefined;
  /** Whether the document is that revision; if not, a plain SET bypassed the history. */
  readonly recorded: boolean;
}

const markerShape = z.strictObject({
  /** The document's last revision in the source's history. */
  revision: z.int().min(0),
  /** SHA-1 of the relayed document; "" = its deletion was relayed. */
  mark: z.string().max(40),
  /** Whether the document was not in the source's history yet. */
  direct: z.boolean(),
  /** Epoch of the document's signature; 0 = none. */
  signedEpoch: z.int().min(0),
});
/** What was relayed last. The target keeps it, so that any relay can continue from there. */
export type Marker = z.output<typeof markerShape>;

export interface KeptMarker {
  readonly text: string;
  /** undefined = nothing was relayed yet, or the text is not from a relay. */
  readonly marker: Marker | undefined;
}

export interface RelayKeys extends DocumentKeys {
  readonly relayed: string;
}

const markOf = (document: Buffer | undefined): string =>
  document === undefined ? "" : createHash("sha1").update(document).digest("hex");

/**
 * @param name `policy` or `policy:<service>`
 * @returns undefined = the shared policy
 */
const serviceOf = (name: string): string | undefined =>
  name === sharedKey ? undefined : name.slice(layerKey("").length);

export function relayKeys(name: string, spread: Spread): RelayKeys {
  const service = serviceOf(name);
  const relayed = service === undefined ? "relayed" : `relayed:${service}`;
  return { ...documentKeys(service, spread), relayed: keyBeside(relayed, name, spread) };
}

/** Whether the key holds another type because somebody wrote it by hand. */
export const isWrongType = (error: unknown): boolean =>
  error instanceof StoreUnavailable && error.code === "WRONGTYPE";

/**
 * Reads a document with its revision. A change writes both at once, so it reads the revision before and after, and
 * tries again if it has changed.
 */
export async function readHeld(store: Store, keys: DocumentKeys, maxBytes: number): Promise<Held> {
  for (let tries = 0; tries < 10; tries++) {
    const before = await readHead(store, keys);
    const bytes = await store.getBytes(keys.document, limitMs, 2 * maxBytes);
    if ((await readHead(store, keys)) !== before) {
      await wait(5);
      continue;
    }
    const document = bytes ?? undefined;
    const head = parseHead(before);
    const digest = document === undefined ? "" : digestOf(document);
    const recorded = head === undefined ? document === undefined : head.digest === digest;
    return { document, mark: markOf(document), head, recorded };
  }
  throw new StoreUnavailable(`${keys.document} changes faster than it can be read`);
}

async function readHead(store: Store, { applied }: DocumentKeys): Promise<string | null> {
  return (await store.getBytes(applied, limitMs, maxHeadBytes))?.toString() ?? null;
}

export async function readMarker(store: Store, { relayed }: RelayKeys): Promise<KeptMarker> {
  const text = (await store.getBytes(relayed, limitMs, maxHeadBytes))?.toString() ?? "";
  try {
    return { text, marker: markerShape.safeParse(parseJson(text)).data };
  } catch {
    return { text, marker: undefined };
  }
}
