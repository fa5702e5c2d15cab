// Why a package is not taken: each message says what is wrong and where, and goes after the extension's or the file's name.

/** These bytes, or what the policy says of them, are wrong: no second try mends that. */
export class PackageError extends Error {
  override readonly name = "PackageError";
  /** The field of the policy's entry that is at fault, where it is one. */
  readonly field: string | undefined;

  constructor(message: string, field?: string) {
    super(message);
    this.field = field;
  }
}

/** The bytes are not to be had now: the place is out of reach, or holds none or others. A later try may find them. */
export class PackageUnavailable extends Error {
  override readonly name = "PackageUnavailable";
}

const shown = 120;

/** Text of others in a message: on one line, without what moves a cursor, and short. */
export function quoted(text: string): string {
  const line = text.length > shown ? `${text.slice(0, shown)}…` : text;
  return JSON.stringify(line).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (unit) => `\\u{${unit.codePointAt(0)?.toString(16) ?? "?"}}`,
  );
}
