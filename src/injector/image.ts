// Parses references to images: registry, repository, tag, digest.
import { matching } from "../config/formats.ts";

/** Allows only characters of OCI's reference grammar; the node's runtime checks the rest. */
export const parseImage = matching(
  /^[a-z0-9][a-z0-9.:/_-]{0,300}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/,
  "an image, such as registry.example/outrigger:0.1.0",
);

/** The image without tag and digest. */
export function repositoryOf(image: string): string {
  const [named = ""] = image.split("@", 1);
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  return colon === -1 ? named : named.slice(0, colon);
}
