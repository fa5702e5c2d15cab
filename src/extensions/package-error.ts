// Errors about packages. A message says what is wrong and where; the name of the extension or file goes before it.

/** The bytes, or the policy's entry for them, are wrong: another try cannot succeed. */
export class PackageError extends Error {
  override readonly name = "PackageError";
  /** The field of the policy's entry that is at fault, if one is. */
  readonly field: string | undefined;

  constructor(message: string, field?: string) {
    super(message);
    this.field = field;
  }
}

/**
 * The bytes are not available now: the place is unreachable, or has none or different ones. A later try may succeed.
 */
export class PackageUnavailable extends Error {
  override readonly name = "PackageUnavailable";
}

const shown = 120;

/** Quotes foreign text for a message: short, on one line, without characters that control a terminal. */
export function quoted(text: string): string {
  const line = text.length > shown ? `${text.slice(0, shown)}…` : text;
  return JSON.stringify(line).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (unit) => `\\u{${unit.codePointAt(0)?.toString(16) ?? "?"}}`,
  );
}
