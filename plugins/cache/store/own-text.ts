// Texts that are kept for long. A field's name or value is a part of the head that it came in, and keeps all of that
// alive; and most are the same in one message after another.
import { hashText } from "./intrusive-hash-table.ts";

export interface OwnTexts {
  readonly texts: readonly string[];
  /** What they hold beside texts that were kept before; the references to them counted. */
  readonly bytes: number;
}

const places = 1_024;
const maxSharedLength = 128;
// One text a place: the next that falls there takes it.
const known = Array.from<string | undefined>({ length: places });

/** The same texts where nothing else is kept alive with them. */
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

/** A V8 string of its own, one byte a character for the Latin-1 text of fields. */
export function stringBytes(text: string): number {
  return 16 + ((text.length + 7) & ~7);
}

function copyOf(text: string): string {
  const copy = Buffer.from(text, "latin1").toString("latin1");
  // What is not Latin-1 stays as it is.
  return copy === text ? copy : text;
}
