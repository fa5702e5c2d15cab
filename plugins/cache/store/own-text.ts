// Copies texts that are kept for long, and shares equal ones. A field's name or value is a slice of the message head
// and keeps the whole head alive, and most texts are equal in one message after another.
import { hashText } from "./intrusive-hash-table.ts";

export interface OwnTexts {
  readonly texts: readonly string[];
  /** Bytes of the texts that were not shared with earlier ones, and of the references to all texts. */
  readonly bytes: number;
}

const places = 1_024;
const maxSharedLength = 128;
// Each place holds one text; a new text with the same place replaces it.
const known = Array.from<string | undefined>({ length: places });

/** @returns equal texts that keep nothing else alive */
export function ownTexts(texts: readonly string[]): OwnTexts {
  if (texts.length === 0) return { texts, bytes: 0 };
  const own = texts.slice();
  let bytes = 8 * own.length;
  for (let i = 0; i < own.length; i += 1) {
    const text = own[i] as string;
    const place = text.length > maxSharedLength ? -1 : hashText(text) & (places - 1);
    const before = place === -1 ? undefined : known[place];
    if (before === text) own[i] = before;
    else {
      bytes += stringBytes(text);
      const copy = copyOf(text);
      own[i] = copy;
      if (place !== -1) known[place] = copy;
    }
  }
  return { texts: own, bytes };
}

/** @returns bytes of a V8 string that is not a slice, with one byte per character, as the Latin-1 text of fields has */
export function stringBytes(text: string): number {
  return 16 + ((text.length + 7) & ~7);
}

function copyOf(text: string): string {
  const copy = Buffer.from(text, "latin1").toString("latin1");
  // A text that is not Latin-1 stays as it is.
  return copy === text ? copy : text;
}
