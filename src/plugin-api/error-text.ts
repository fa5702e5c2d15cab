// Turns a thrown value of any type into text.

/** Never throws. @returns the message of an error, else the value as text */
export function textOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  try {
    return String(error);
  } catch {
    // The object has no prototype, or its own toString throws.
    return "an error without text";
  }
}
