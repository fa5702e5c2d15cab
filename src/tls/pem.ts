// Blocks of PEM files: RFC 7468, and the labels that OpenSSL takes besides.

const certificate = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^]*?-----END \1-----/g;
const revocationList = /-----BEGIN X509 CRL-----[^]*?-----END X509 CRL-----/g;

/** Whether all that begins in it ends, whatever its labels are. */
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
