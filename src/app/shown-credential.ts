// Hashes whatever in a request may be a credential, before any plugin has judged it. A trial splits callers by this
// hash.
import { hash } from "node:crypto";
import { credentialOf } from "../canary/caller-split.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { ClientTls } from "../plugin-api/contract.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";

/** Fields that carry credentials, whatever the policy says. */
const credentialFields = ["authorization", "x-api-key"];
const forwardedCertificate = "x-forwarded-client-cert";

/** Key ids of Signature-Input (RFC 9421): each request is signed anew, and only the key id stays the same. */
const keyIds = /;[ \t]*keyid="([^"\\]{1,256})"/g;

type Shown = (readonly [string, string | undefined])[];

export interface ShownBy {
  /**
   * The client's address. Anybody can name a key id, so what a key id proved counts only for clients at this address.
   */
  readonly address?: string;
  readonly tls?: ClientTls | undefined;
}

/** @returns a hash of everything that may be a credential; undefined = the request shows none */
export function shownBy(
  head: RequestHead,
  { snapshot }: Pick<RoutedPolicy, "snapshot">,
  { address = "", tls }: ShownBy,
): string | undefined {
  const shown: Shown = [["cookies", head.ownedCookies]];
  let query: URLSearchParams | undefined;
  for (const name of new Set([...credentialFields, ...snapshot.unmatched.info.secretNames])) {
    const field = head.fields.get(name);
    if (field !== undefined) shown.push([name, field]);
    else if (head.query.includes(name)) {
      query ??= new URLSearchParams(head.query);
      shown.push([name, query.get(name) ?? undefined]);
    }
  }
  const signed = head.fields.get("signature-input");
  if (signed !== undefined) {
    const keys = [...signed.matchAll(keyIds)].map(([, keyId]) => keyId);
    shown.push(["signature", JSON.stringify([address, ...keys])]);
  }
  // Where certificates authenticate nobody, this is the certificate of the last proxy, the same for all callers.
  if (provesByCertificate(snapshot))
    shown.push(
      ["certificate", tls?.certificate && fingerprintOf(tls.certificate)],
      [forwardedCertificate, head.fields.get(forwardedCertificate)],
    );
  return credentialOf(shown);
}

const proving = new WeakMap<RoutedPolicy["snapshot"], boolean>();

function provesByCertificate(snapshot: RoutedPolicy["snapshot"]): boolean {
  let is = proving.get(snapshot);
  if (is === undefined) {
    is = [...snapshot.routes, snapshot.unmatched].some(({ spec }) =>
      Object.hasOwn(Object(spec.pluginConfig["auth"]) as object, "certificates"),
    );
    proving.set(snapshot, is);
  }
  return is;
}

/** By the connection's certificate, which is the same object for all its requests. */
const fingerprints = new WeakMap<Buffer, string>();

function fingerprintOf(certificate: Buffer): string {
  let print = fingerprints.get(certificate);
  if (print === undefined) fingerprints.set(certificate, (print = hash("sha256", certificate, "base64")));
  return print;
}
