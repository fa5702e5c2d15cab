// PEM files that the settings name: looked at when the sidecar starts, with one line for what OpenSSL tells in a stack.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { FormatError, readNamedFile, shownPath, type ReadFile } from "./formats.ts";

// RFC 7468, and the labels that OpenSSL takes besides.
const certificate = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^]*?-----END \1-----/g;

/** A file of certificates that can be read now (it is read again by whoever uses it). */
export function parseCertificateFile(path: string, readFile: ReadFile): string {
  const blocks = readNamedFile(path, readFile).match(certificate);
  if (blocks === null) throw new FormatError(`${shownPath(path)} holds no PEM certificate`);
  try {
    for (const block of blocks) void new X509Certificate(block);
  } catch {
    throw new FormatError(`${shownPath(path)} holds a PEM certificate that is damaged`);
  }
  return path;
}

/** A file of one private key without a passphrase. */
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

/** Whether the key is that of the first certificate; both have been parsed as above. */
export function isPair(cert: string, key: string, readFile: ReadFile): boolean {
  return new X509Certificate(readFile(cert)).checkPrivateKey(createPrivateKey(readFile(key)));
}
