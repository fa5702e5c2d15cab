// Options of signed requests (RFC 9421): whose keys count, and what a signature must cover.
import { createPublicKey, type KeyObject, type webcrypto } from "node:crypto";
import { z } from "zod";
import { byteSize } from "../../../src/language/byte-size.ts";
import { seconds } from "../../../src/language/duration.ts";
import { fieldName } from "../../../src/language/field-name.ts";
import { isRsaExponent } from "../../../src/language/rsa-exponent.ts";
import { holderFields, secretName } from "../option-fields.ts";
import { structuredTypes } from "./structured-fields.ts";

/** RFC 9421 section 3.3. */
const signatureAlgorithms = [
  "hmac-sha256",
  "ed25519",
  "ecdsa-p256-sha256",
  "rsa-pss-sha512",
  "rsa-v1_5-sha256",
] as const;

const minModulusBits = 2048;

/** @throws Error for anything but a public key */
export function readPublicKey(text: string): KeyObject {
  // createPublicKey would accept a private key and derive the public one.
  if (/PRIVATE KEY/.test(text)) throw new Error("a private key");
  if (!text.trimStart().startsWith("{")) return createPublicKey(text);
  const jwk = JSON.parse(text) as webcrypto.JsonWebKey;
  if (jwk.d !== undefined || jwk.k !== undefined) throw new Error("a private key");
  return createPublicKey({ key: jwk, format: "jwk" });
}

function fits(
  { asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject,
  algorithm: string,
): boolean {
  if (algorithm === "ed25519") return type === "ed25519";
  if (algorithm === "ecdsa-p256-sha256") return type === "ec" && details?.namedCurve === "prime256v1";
  const isRsa = type === "rsa" || (type === "rsa-pss" && algorithm === "rsa-pss-sha512");
  const { modulusLength = 0, publicExponent = 0n } = details ?? {};
  return (
    algorithm.startsWith("rsa") && isRsa && modulusLength >= minModulusBits && isRsaExponent(publicExponent)
  );
}

/** @returns what is wrong with the key; undefined = nothing */
function keyFault(publicKey: string, algorithm: string): string | undefined {
  try {
    return fits(readPublicKey(publicKey), algorithm) ? undefined : `does not fit ${algorithm}`;
  } catch {
    return "must be a public key in PEM (SPKI) or JWK";
  }
}

const visible = /^[\x20-\x7e]{1,256}$/;
/** Derived components of requests (section 2.2), without parameters. */
const derivedNames = [
  "@method",
  "@target-uri",
  "@authority",
  "@scheme",
  "@request-target",
  "@path",
  "@query",
] as const;

const signingKey = z
  .strictObject({
    keyId: z.string().regex(visible, "must be visible ASCII").describe("`keyid` of its signatures"),
    algorithm: z.enum(signatureAlgorithms).describe("The one algorithm it is used with"),
    secret: secretName
      .optional()
      .describe("hmac-sha256: name of the secret with the key, of at least 32 bytes (default: none)"),
    secretEncoding: z
      .enum(["text", "base64"])
      .default("text")
      .describe("Whether the secret is the key itself, or base64 of it"),
    publicKey: z
      .string()
      .optional()
      .describe("The others: the public key in PEM (SPKI) or JWK (default: none)"),
    ...holderFields,
  })
  .superRefine(({ algorithm, secret, publicKey }, context) => {
    const isHmac = algorithm === "hmac-sha256";
    const path = [isHmac ? "secret" : "publicKey"];
    if ((secret === undefined) === isHmac || (publicKey === undefined) !== isHmac) {
      const message = isHmac
        ? "hmac-sha256 needs secret, and no publicKey"
        : `${algorithm} needs publicKey, and no secret`;
      context.addIssue({ code: "custom", path, message });
      return;
    }
    const fault = publicKey === undefined ? undefined : keyFault(publicKey, algorithm);
    if (fault !== undefined) context.addIssue({ code: "custom", path, message: fault });
  });

export const signatureOptions = z.strictObject({
  keys: z
    .array(signingKey)
    .min(1)
    .refine((keys) => new Set(keys.map(({ keyId }) => keyId)).size === keys.length, {
      error: "names a keyId twice",
    })
    .describe("Keys of machines, by `keyid`"),
  components: z
    .array(z.union([z.enum(derivedNames), fieldName]))
    .default([])
    .describe(
      "Components that a signature must cover (default: @method, @authority, and @target-uri or both @path and @query)",
    ),
  structuredFields: z
    .record(fieldName, z.enum(structuredTypes))
    .default({})
    .describe(
      "Types of own fields that signatures cover with `sf` (RFC 9651); those that IANA lists are known",
    ),
  contentDigest: z
    .enum(["required", "optional"])
    .default("required")
    .describe(
      "Whether a request with a body must cover `content-digest` (RFC 9530); one that is covered is checked either way",
    ),
  maxBodyBytes: byteSize(0, 104_857_600)
    .default(1_048_576)
    .describe(
      "Largest body whose digest is checked, in memory, before the service is asked; a larger one is 413",
    ),
  maxAgeSeconds: seconds(1, 3600).default(300).describe("Longest time since `created`, which is required"),
  clockToleranceSeconds: seconds(0, 300).default(5).describe("Leeway for `created` and `expires`"),
  nonce: z
    .enum(["required", "optional"])
    .default("required")
    .describe("A nonce counts once; without one a request can be sent again until it is too old"),
  tag: z
    .string()
    .regex(visible, "must be visible ASCII")
    .optional()
    .describe("Only signatures with this `tag` are looked at (default: all, and there must be one alone)"),
  onStoreError: z
    .enum(["deny", "local"])
    .default("deny")
    .describe("While Redis is out of reach: 503, or take nonces that this process has not seen itself"),
});

export type SignatureOptions = z.output<typeof signatureOptions>;
export type SigningKeyOptions = SignatureOptions["keys"][number];
