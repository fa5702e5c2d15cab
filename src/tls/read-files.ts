// Certificates, keys and lists read from files that somebody may be writing: what is not whole is an error. OpenSSL would take
// what is there, and for authorities that are none Node would take the system's.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { certificatesIn, isWhole, revocationListsIn } from "./pem.ts";

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A chain, or authorities. @throws Error when the file cannot be read, is cut off, or holds no certificate */
export function readCertificates(path: string): string {
  const text = readWhole(path);
  if (certificatesIn(text).length === 0) throw new Error(`${path} holds no PEM certificate`);
  return text;
}

/** @throws Error when the files cannot be read, are cut off, or do not fit together */
export function readPair({ cert, key }: Pair): Pair {
  const pair = { cert: readCertificates(cert), key: readWhole(key) };
  if (!new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key)))
    throw new Error(`${key} is not the key of the certificate in ${cert}`);
  return pair;
}

/** @throws Error when the file cannot be read, is cut off, or holds no list: without one nothing would be revoked */
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
