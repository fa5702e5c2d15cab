// Blocks of PEM files: RFC 7468, and the labels that OpenSSL takes besides.

const certificate = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^]*?-----END \1-----/g;
const revocationList = /-----BEGIN X509 CRL-----[^]*?-----END X509 CRL-----/g;

export function certificatesIn(text: string): string[] {
  return text.match(certificate) ?? [];
}

export function revocationListsIn(text: string): string[] {
  return text.match(revocationList) ?? [];
}
