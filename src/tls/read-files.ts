// Reads certificates, keys and lists from files that may be in the middle of a write: an incomplete file is an error.
// OpenSSL would use the part that is there, and without any authority Node would use the system's.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { certificatesIn, isWhole, revocationListsIn } from "./pem.ts";

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Reads a chain or authorities. @throws Error if the file cannot be read, is cut off, or holds no certificate */
export function readCertificates(path: string): string {
  const text = readWhole(path);
  if (certificatesIn(text).length === 0) throw new Error(`${path} holds no PEM certificate`);
  return text;
}

/** @throws Error if the files cannot be read, are cut off, or do not fit together */
export function readPair({ cert, key }: Pair): Pair {
  const pair = { cert: readCertificates(cert), key: readWhole(key) };
  if (!new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key)))
    throw new Error(`${key} is not the key of the certificate in ${cert}`);
  return pair;
}

/** @throws Error if the file cannot be read, is cut off, or holds no list: without a list nothing would be revoked */
export function readRevocationLists(path: string): string[] {
  const lists = revocationListsIn(readWhole(path));
  if (lists.length === 0) throw new Error(`${path} holds no PEM CRL`);
  return lists;
}

function readWhole(path: string): string {
  const text = readFileSync(path, "utf8");
  if (isWhole(text)) return text;
  throw new Error(`${path} is cut off: what begins in it does not end`);
}
