// Texts that are kept for long. A field's value is a part of the head that it came in, and keeps all of that alive; and
// most values are the same in one answer after another.
import { hashText } from "./intrusive-hash-table.ts";

export interface OwnText {
  text: string;
  /** Whether others that were kept before have the same one. */
  shared: boolean;
}

const places = 1_024;
const longestShared = 128;
// One text a place: the next that falls there takes it.
const known = Array.from<string | undefined>({ length: places });
const result: OwnText = { text: "", shared: false };

/** The same text where nothing else is kept alive with it. @returns valid until the next call */
export function ownText(text: string): Readonly<OwnText> {
  result.shared = false;
  if (text.length > longestShared) result.text = copyOf(text);
  else {
    const place = hashText(text) & (places - 1);
    const before = known[place];
    if (before === text) {
      result.text = before;
      result.shared = true;
    } else known[place] = result.text = copyOf(text);
  }
  return result;
}

function copyOf(text: string): string {
  const copy = Buffer.from(text, "latin1").toString("latin1");
  // What is not Latin-1 stays as it is.
  return copy === text ? copy : text;
}
