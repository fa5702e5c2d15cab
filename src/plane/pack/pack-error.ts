/** Nothing is packed; the message says why, for the author. */
export class PackError extends Error {
  override readonly name = "PackError";
}
