// One policy document as two regions have it: what each holds, what its history says of that, what was relayed last.
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

/** What one region has of a document. */
export interface Held {
  /** undefined = there is none. */
  readonly document: Buffer | undefined;
  /** SHA-1 of it, which is the only digest that Redis' scripts have; "" = there is none. */
  readonly mark: string;
  /** Its last revision there. */
  readonly head: Head | undefined;
  /** Whether it is that revision; else somebody SET it past the history. */
  readonly recorded: boolean;
}

const markerShape = z.strictObject({
  /** The last one that the source's history had of it. */
  revision: z.int().min(0),
  /** SHA-1 of what was relayed; "" = that it was deleted. */
  mark: z.string().max(40),
  /** It was not in the source's history yet. */
  direct: z.boolean(),
  /** Of its signature; 0 = none. */
  signedEpoch: z.int().min(0),
});
/** What was relayed last, as the target keeps it: whichever relay comes next goes by that. */
export type Marker = z.output<typeof markerShape>;

export interface KeptMarker {
  readonly text: string;
  /** undefined = nothing was relayed yet, or somebody else wrote there. */
  readonly marker: Marker | undefined;
}

export interface RelayKeys extends DocumentKeys {
  readonly relayed: string;
}

const markOf = (document: Buffer | undefined): string =>
  document === undefined ? "" : createHash("sha1").update(document).digest("hex");

/** @param name `policy` or `policy:<service>` */
const serviceOf = (name: string): string | undefined =>
  name === sharedKey ? undefined : name.slice(layerKey("").length);

export function relayKeys(name: string, spread: Spread): RelayKeys {
  const service = serviceOf(name);
  const relayed = service === undefined ? "relayed" : `relayed:${service}`;
  return { ...documentKeys(service, spread), relayed: keyBeside(relayed, name, spread) };
}

/** Somebody wrote that key by hand. */
export const isWrongType = (error: unknown): boolean =>
  error instanceof StoreUnavailable && error.code === "WRONGTYPE";

/** A document is written together with its revision, and read after it: read again until nobody has come in between. */
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
