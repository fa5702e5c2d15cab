// Finds blocks in PEM files: those of RFC 7468, and with the other labels that OpenSSL accepts.

const certificate = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^]*?-----END \1-----/g;
const revocationList = /-----BEGIN X509 CRL-----[^]*?-----END X509 CRL-----/g;

/** Whether every block that begins in the text also ends, whatever its label is. */
export function isWhole(text: string): boolean {
  const lines = text.trimEnd().split("\n");
  const begun = lines.filter((line) => line.startsWith("-----BEGIN ")).length;
  const ended = lines.filter(isEnd).length;
  const last = lines.at(-1) ?? "";
  return begun === ended && (!last.startsWith("-") || isEnd(last));
}

function isEnd(line: string): boolean {
  return line.startsWith("-----END ") && line.trimEnd().endsWith("-----");
}

export function certificatesIn(text: string): string[] {
  return text.match(certificate) ?? [];
}

export function revocationListsIn(text: string): string[] {
  return text.match(revocationList) ?? [];
}
