// Reads the users from a file as `htpasswd` writes it: one line `name:hash` for each. No message quotes any of a line.
import { createHmac, hash } from "node:crypto";
import { readPasswordHash, type CheckBcrypt, type PasswordHash } from "./password-hash.ts";

const maxUsers = 10_000;
/** RFC 7617 section 2: no colon, no control characters. */
const nameText = /^[^:\p{Cc}]{1,256}$/u;

/** @throws Error that names the number of the line */
export function readPasswordFile(text: string, checkBcrypt: CheckBcrypt): Map<string, PasswordHash> {
  const users = new Map<string, PasswordHash>();
  const places = new Map<string, number>();
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const where = `line ${index + 1}`;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon)).normalize("NFC");
    if (!nameText.test(name)) throw new Error(`${where}: is not name:hash`);
    const earlier = places.get(name);
    if (earlier !== undefined) throw new Error(`${where}: the user is on line ${earlier} already`);
    const hash = readPasswordHash(line.slice(colon + 1), checkBcrypt);
    if (typeof hash === "string") throw new Error(`${where}: ${hash}`);
    if (users.size >= maxUsers) throw new Error(`${where}: more than ${maxUsers} users`);
    users.set(name, hash);
    places.set(name, index + 1);
  }
  if (users.size === 0) throw new Error("holds no user");
  return users;
}

/**
 * Chooses, for a name that nobody has, the hash of a real user to check against. The choice is the same each time and
 * at every sidecar. So the time of a check does not tell which names exist, even if some hashes are cheaper than
 * others.
 * @param text the file's text; it keys the choice, so nobody without the file can predict it
 */
export function decoys(hashes: readonly PasswordHash[], text: string): (user: string) => PasswordHash {
  const key = hash("sha256", text, "buffer");
  return (user) => {
    const place = createHmac("sha256", key).update(user).digest().readUInt32BE(0) % hashes.length;
    const found = hashes[place];
    if (found === undefined) throw new Error("no hashes");
    return found;
  };
}
