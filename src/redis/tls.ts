// TLS options for Redis: authorities, own certificate and key, from files that may be renewed while the sidecar runs.
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import type { RedisTlsFiles } from "./address.ts";

/** ioredis copies the options for each connection that it opens, and so reads the files again each time. */
export function redisTls({ ca, cert, key, servername }: RedisTlsFiles = {}): ConnectionOptions {
  const options: ConnectionOptions = { minVersion: "TLSv1.2" };
  if (servername !== undefined) options.servername = servername;
  for (const [name, path] of Object.entries({ ca, cert, key })) {
    if (path === undefined) continue;
    let last: Buffer | undefined;
    const get = (): Buffer | undefined => {
      try {
        last = readFileSync(path);
      } catch {
        // The file is in the middle of a renewal: the previous content may still work; the next connection reads again.
      }
      return last;
    };
    Object.defineProperty(options, name, { enumerable: true, get });
  }
  return options;
}
