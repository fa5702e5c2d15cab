// Hashes of passwords. In the PHC string format, checked by OpenSSL on a thread of the pool: argon2id (RFC 9106) and scrypt
// (RFC 7914), which need memory, so that guessing is dear. And bcrypt as `htpasswd -B` writes it, checked in a thread of its
// own. What is guessed quickly is refused.
import { argon2, scrypt, timingSafeEqual } from "node:crypto";
import type { BcryptTask } from "./bcrypt-thread.ts";

export interface PasswordHash {
  /** Whoever gets the file guesses quickly. */
  readonly isWeak: boolean;
  /** @returns undefined when too much is being checked. Rejects when it cannot be, as with too little memory. */
  matches(password: string): Promise<boolean | undefined>;
}

/** BcryptThread.matches */
export type CheckBcrypt = (task: BcryptTask) => Promise<boolean | undefined>;

const argon2id =
  /^\$argon2id\$v=19\$m=([1-9]\d{0,6}),t=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;
const scrypted =
  /^\$scrypt\$ln=([1-9]\d?),r=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

/** OWASP's least for argon2id; and what a sidecar can spare twice at the same time. */
const minKib = 7_168;
const maxKib = 131_072;
const maxPasses = 10;
const maxLanes = 4;
const minLn = 14;

/** `x` is left out: crypt_blowfish's name for what an old mistake of it made. */
const bcrypted = /^\$2[aby]\$(\d{2})\$[./A-Za-z0-9]{53}$/;
/** `htpasswd -B` begins there; OWASP's least for bcrypt; and half a second of work, after which those who wait give up. */
const minCost = 5;
const goodCost = 10;
const maxCost = 12;
/** bcrypt looks at no more: whoever knows so much of a longer one would be let in. */
const maxBcryptBytes = 72;

/** Other kinds by how they begin, for the one who has to make them anew. */
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

/** @returns what is wrong with it, without anything of it */
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
