// Applies the policy's changes to one body: bytes in, bytes out.
import type { Place } from "./changes.ts";
import { CannotChange, editJson } from "./edit.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @returns undefined when nothing changes @throws CannotChange */
export function changeBody(body: Buffer, changes: Place): Buffer | undefined {
  let text: string;
  try {
    text = utf8.decode(body);
    JSON.parse(text);
  } catch {
    throw new CannotChange("is not JSON (RFC 8259)");
  }
  const changed = editJson(text, changes);
  return changed === text ? undefined : Buffer.from(changed);
}
