// What of a request as it came may be a credential.
import { credentialOf } from "../canary/caller-split.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";

/** Fields in which there are credentials, whatever the policy says of them. */
const credentialFields = ["authorization", "x-api-key"];

/** Of Signature-Input (RFC 9421): each request is signed anew, and only the key stays the same. */
const keyIds = /;[ \t]*keyid="([^"\\]{1,256})"/g;

/**
 * @param address of the client: a key is named by whoever wants to, and what it proved counts for those who were there
 * @returns a hash of all that may be one; undefined = nothing is shown
 */
export function shownBy(head: RequestHead, { snapshot }: RoutedPolicy, address = ""): string | undefined {
  const shown: (readonly [string, string | undefined])[] = [["cookies", head.ownedCookies]];
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
  return credentialOf(shown);
}
