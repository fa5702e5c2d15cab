// Reads from a collector's response which items of a request it did not take (`partial_success`), for every signal.
import { ProtoReader } from "./wire.ts";

export interface Rejected {
  readonly items: number;
  readonly message: string;
}

/** @returns undefined when the collector took everything without a message */
export function rejectedInProtobuf(response: Buffer): Rejected | undefined {
  const partial = new ProtoReader(response).bytes(1);
  if (partial === undefined) return undefined;
  const items = new ProtoReader(partial).varint(1) ?? 0;
  const message = new ProtoReader(partial).bytes(2)?.toString() ?? "";
  return items > 0 || message !== "" ? { items, message } : undefined;
}

export function rejectedInJson(response: Buffer): Rejected | undefined {
  try {
    const { partialSuccess } = Object(JSON.parse(response.toString())) as { partialSuccess?: unknown };
    const { errorMessage = "", ...counts } = Object(partialSuccess) as Record<string, unknown>;
    const name = Object.keys(counts).find((key) => key.startsWith("rejected"));
    const items = Number(name === undefined ? 0 : counts[name]);
    if (!(items > 0) && errorMessage === "") return undefined;
    return { items: items > 0 ? items : 0, message: String(errorMessage) };
  } catch {
    return undefined;
  }
}
