// Checks the PEM files of settings when the sidecar starts, with one-line problems in place of OpenSSL's error stacks.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { certificatesIn, isWhole, revocationListsIn } from "../tls/pem.ts";
import { FormatError, readNamedFile, shownPath, type ReadFile } from "./formats.ts";

/** Checks a file of certificates. The code that uses the file reads it again. */
export function parseCertificateFile(path: string, readFile: ReadFile): string {
  const text = readNamedFile(path, readFile);
  if (!isWhole(text)) throw new FormatError(`${shownPath(path)} is cut off: what begins in it does not end`);
  const blocks = certificatesIn(text);
  if (blocks.length === 0) throw new FormatError(`${shownPath(path)} holds no PEM certificate`);
  try {
    for (const block of blocks) void new X509Certificate(block);
  } catch {
    throw new FormatError(`${shownPath(path)} holds a PEM certificate that is damaged`);
  }
  return path;
}

/** Checks a file with one private key without a passphrase. */
export function parseKeyFile(path: string, readFile: ReadFile): string {
  const text = readNamedFile(path, readFile);
  try {
    createPrivateKey(text);
  } catch {
    const encrypted = /-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(text);
    throw new FormatError(
      encrypted
        ? `${shownPath(path)} holds a key under a passphrase: give it without one`
        : `${shownPath(path)} holds no PEM private key`,
    );
  }
  return path;
}

/** One or several files of certificates, comma-separated. */
export function parseCertificateFiles(text: string, readFile: ReadFile): readonly string[] {
  return paths(text).map((path) => parseCertificateFile(path, readFile));
}

/** One or several files of private keys, comma-separated. */
export function parseKeyFiles(text: string, readFile: ReadFile): readonly string[] {
  return paths(text).map((path) => parseKeyFile(path, readFile));
}

function paths(text: string): string[] {
  const list = text.split(",").map((path) => path.trim());
  if (list.includes("")) throw new FormatError("has an empty member between its commas");
  return list;
}

/** Checks a file of revocation lists: OpenSSL can parse them. */
export function parseCrlFile(path: string, readFile: ReadFile): string {
  const text = readNamedFile(path, readFile);
  if (!isWhole(text)) throw new FormatError(`${shownPath(path)} is cut off: what begins in it does not end`);
  const lists = revocationListsIn(text);
  if (lists.length === 0) throw new FormatError(`${shownPath(path)} holds no PEM CRL`);
  try {
    createSecureContext({ crl: lists });
  } catch {
    throw new FormatError(`${shownPath(path)} holds a PEM CRL that is damaged`);
  }
  return path;
}

/** Whether the key belongs to the first certificate; both must have been parsed as above. */
export function isPair(cert: string, key: string, readFile: ReadFile): boolean {
  return new X509Certificate(readFile(cert)).checkPrivateKey(createPrivateKey(readFile(key)));
}
