// Reads and checks password hashes. argon2id (RFC 9106) and scrypt (RFC 7914), in the PHC string format, are checked by
// OpenSSL on libuv's thread pool; they need memory, which makes guessing costly. bcrypt, as `htpasswd -B` writes it, is
// checked in a thread of its own. Hashes of kinds that are quickly guessed are refused.
import { argon2, scrypt, timingSafeEqual } from "node:crypto";
import type { BcryptTask } from "./bcrypt-thread.ts";

export interface PasswordHash {
  /** Whether someone who gets the file could guess passwords quickly. */
  readonly isWeak: boolean;
  /**
   * @returns undefined when too many checks are running or waiting. Rejects when a check is impossible, as with too
   * little memory.
   */
  matches(password: string): Promise<boolean | undefined>;
}

/** `BcryptThread.matches` */
export type CheckBcrypt = (task: BcryptTask) => Promise<boolean | undefined>;

const argon2id =
  /^\$argon2id\$v=19\$m=([1-9]\d{0,6}),t=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;
const scrypted =
  /^\$scrypt\$ln=([1-9]\d?),r=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

/** The least: what OWASP recommends for argon2id. The most: memory that a sidecar can spare twice at once. */
const minKib = 7_168;
const maxKib = 131_072;
const maxPasses = 10;
const maxLanes = 4;
const minLn = 14;

/** `$2x$` is left out: crypt_blowfish uses it for hashes that an old bug made. */
const bcrypted = /^\$2[aby]\$(\d{2})\$[./A-Za-z0-9]{53}$/;
/**
 * The default of `htpasswd -B`; the least that OWASP recommends; half a second of work, after which callers give up.
 */
const minCost = 5;
const goodCost = 10;
const maxCost = 12;
/** bcrypt ignores all bytes after these. Of a longer password, the first 72 bytes would be enough. */
const maxBcryptBytes = 72;

/** Other kinds, by how they begin, so that the message names the kind to replace. */
const otherKinds: readonly (readonly [RegExp, string])[] = [
  [/^\$argon2[di]\$/, "argon2d or argon2i, which are not for passwords alone"],
  [/^\$apr1\$|^\$1\$/, "MD5"],
  [/^\{S?SHA\}/i, "SHA-1"],
  [/^\$[56]\$/, "crypt by SHA-2"],
  [/^\$argon2id\$|^\$scrypt\$|^\$2[abxy]?\$/, "of a form that cannot be read"],
];

type Derive = (password: string) => Promise<Buffer>;

function hashOf(tag: Buffer, derive: Derive): PasswordHash {
  return { isWeak: false, matches: async (password) => timingSafeEqual(await derive(password), tag) };
}

function readArgon2(
  memory: number,
  passes: number,
  parallelism: number,
  nonce: Buffer,
  tag: Buffer,
): PasswordHash | string {
  if (memory < minKib) return `argon2id needs m of at least ${minKib}`;
  if (memory > maxKib || passes > maxPasses || parallelism > maxLanes)
    return `argon2id is taken up to m=${maxKib}, t=${maxPasses}, p=${maxLanes}`;
  const parameters = { nonce, parallelism, memory, passes, tagLength: tag.length };
  return hashOf(tag, (message) => {
    return new Promise((resolve, reject) => {
      argon2("argon2id", { ...parameters, message }, (error, derived) => {
        if (error === null) resolve(derived);
        else reject(error);
      });
    });
  });
}

function readScrypt(ln: number, r: number, p: number, salt: Buffer, tag: Buffer): PasswordHash | string {
  const kib = 2 ** ln * r * 0.125;
  if (ln < minLn || r < 8) return `scrypt needs ln of at least ${minLn} and r of at least 8`;
  if (kib > maxKib || p > maxLanes)
    return `scrypt is taken up to ${maxKib} KiB (2^ln * r / 8), p=${maxLanes}`;
  const parameters = { N: 2 ** ln, r, p, maxmem: (kib + 1_024) * 1_024 * 2 };
  return hashOf(tag, (password) => {
    return new Promise((resolve, reject) => {
      scrypt(password, salt, tag.length, parameters, (error, derived) => {
        if (error === null) resolve(derived);
        else reject(error);
      });
    });
  });
}

function readBcrypt(hash: string, cost: number, check: CheckBcrypt): PasswordHash | string {
  if (cost < minCost || cost > maxCost) return `bcrypt is taken with a cost from ${minCost} to ${maxCost}`;
  return {
    isWeak: cost < goodCost,
    async matches(password) {
      const isWhole = Buffer.byteLength(password) <= maxBcryptBytes && !password.includes("\0");
      return isWhole ? await check({ password, hash }) : false;
    },
  };
}

/** @returns the hash, or a text that says what is wrong without quoting it */
export function readPasswordHash(text: string, checkBcrypt: CheckBcrypt): PasswordHash | string {
  const [, cost] = bcrypted.exec(text) ?? [];
  if (cost !== undefined) return readBcrypt(text, Number(cost), checkBcrypt);
  for (const [pattern, read] of [
    [argon2id, readArgon2],
    [scrypted, readScrypt],
  ] as const) {
    const [, first, second, third, salt, tag] = pattern.exec(text) ?? [];
    if (tag === undefined || salt === undefined) continue;
    const bytes = [salt, tag].map((part) => Buffer.from(part, "base64")) as [Buffer, Buffer];
    return read(Number(first), Number(second), Number(third), ...bytes);
  }
  const kind = otherKinds.find(([pattern]) => pattern.test(text))?.[1] ?? "no hash of a kind that is known";
  return `${kind}: argon2id, scrypt or bcrypt is taken alone`;
}
