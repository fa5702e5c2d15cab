// What was thrown, as text: anything at all may be.

/** The message of an error, else the text of the value. Never throws. */
export function textOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  try {
    return String(error);
  } catch {
    // An object without a prototype, or whose own toString throws.
    return "an error without text";
  }
}
