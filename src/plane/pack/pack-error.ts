/** Nothing is packed; the message tells the author why. */
export class PackError extends Error {
  override readonly name = "PackError";
}
