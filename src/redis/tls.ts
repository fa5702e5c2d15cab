// TLS to Redis: authorities, our certificate and key from files that may be renewed while we run.
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import type { RedisTlsFiles } from "./address.ts";

/** ioredis copies the members for each connection that it opens: each reads the files as they are then. */
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
        // Half-way through a renewal: the one before may still do, and the next connection looks again.
      }
      return last;
    };
    Object.defineProperty(options, name, { enumerable: true, get });
  }
  return options;
}
