// Reads and writes private keys that sign policies and API keys: Ed25519 (RFC 8037), in files that only their owner may
// read. No error quotes any part of a key.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { open } from "node:fs/promises";
import { hasDoubledMember } from "../language/doubled-members.ts";
import { parseJson } from "../language/json.ts";

export interface SigningKey {
  readonly key: KeyObject;
  readonly kid: string;
  /** The public key as a member of OUTRIGGER_POLICY_KEYS. */
  readonly publicJwk: Readonly<Record<string, string>>;
}

/** Why a key file cannot be used or written; the text is for the operator. */
export class KeyFileRefusal extends Error {
  override readonly name = "KeyFileRefusal";
}

const maxBytes = 16_384;

/** Rejects with KeyFileRefusal. */
export async function readSigningKey(path: string): Promise<SigningKey> {
  return await signingKey(parseKey(await readPrivate(path), path));
}

/** Makes a key and writes it to a new file; never overwrites one. Rejects with KeyFileRefusal. */
export async function writeSigningKey(path: string): Promise<SigningKey> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const made = await signingKey(privateKey);
  const { d } = privateKey.export({ format: "jwk" });
  const text = `${JSON.stringify({ ...made.publicJwk, d }, null, 2)}\n`;
  try {
    const file = await open(path, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "?";
    throw new KeyFileRefusal(
      code === "EEXIST"
        ? `${path} is there already: no key is overwritten`
        : `${path} cannot be written: ${code}`,
    );
  }
  return made;
}

async function readPrivate(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { mode, uid, size } = await file.stat().then((stats) => {
        if (!stats.isFile()) throw new KeyFileRefusal(`${path} is not a regular file`);
        return stats;
      });
      if (!isPrivate({ mode, uid }, process.geteuid?.()))
        throw new KeyFileRefusal(`${path} can be read by others than its owner: chmod 600 it first`);
      if (size > maxBytes) throw new KeyFileRefusal(`${path} is too long for a key`);
      return await file.readFile("utf8");
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof KeyFileRefusal) throw error;
    throw new KeyFileRefusal(`${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? "?"}`);
  }
}

/**
 * Whether only the owner can read the file. If the owner is root and this process is not, a group may read it too:
 * Kubernetes mounts Secrets like that for a pod with an fsGroup.
 */
export function isPrivate(
  { mode, uid }: { readonly mode: number; readonly uid: number },
  ownUid: number | undefined,
): boolean {
  const isMounted = uid === 0 && ownUid !== undefined && ownUid !== 0;
  return (mode & (isMounted ? 0o037 : 0o077)) === 0;
}

function parseKey(text: string, path: string): KeyObject {
  const key = text.trimStart().startsWith("{") ? parseJwk(text, path) : parsePem(text, path);
  if (key.asymmetricKeyType !== "ed25519")
    throw new KeyFileRefusal(`${path} is no Ed25519 key: make one with "outrigger policy keygen"`);
  return key;
}

function parseJwk(text: string, path: string): KeyObject {
  let jwk: unknown;
  try {
    jwk = parseJson(text);
    if (hasDoubledMember(text, jwk)) throw new SyntaxError("names a member twice");
  } catch (error) {
    throw new KeyFileRefusal(`${path} is no JWK: ${(error as SyntaxError).message}`);
  }
  const { kty, crv, d, x, use } = jwk as Record<string, unknown>;
  if (kty !== "OKP" || crv !== "Ed25519")
    throw new KeyFileRefusal(`${path} is no Ed25519 key: make one with "outrigger policy keygen"`);
  if (typeof d !== "string") throw new KeyFileRefusal(`${path} is a public key: the private one is needed`);
  if (use !== undefined && use !== "sig") throw new KeyFileRefusal(`${path} is not for signatures`);
  const key = keyFrom(path, () => createPrivateKey({ format: "jwk", key: { kty, crv, d, x: String(x) } }));
  if (createPublicKey(key).export({ format: "jwk" }).x !== x)
    throw new KeyFileRefusal(`${path}: its public half belongs to another key`);
  return key;
}

function parsePem(text: string, path: string): KeyObject {
  if (text.includes("ENCRYPTED"))
    throw new KeyFileRefusal(
      `${path} is encrypted: decrypt it first (openssl pkey), into a file of mode 0600`,
    );
  if (/-----BEGIN (?!PRIVATE KEY)/.test(text))
    throw new KeyFileRefusal(`${path} is no private key in PKCS #8 PEM, nor a JWK`);
  return keyFrom(path, () => createPrivateKey(text));
}

function keyFrom(path: string, make: () => KeyObject): KeyObject {
  try {
    return make();
  } catch {
    throw new KeyFileRefusal(`${path} is no valid private key in JWK or PKCS #8 PEM`);
  }
}

async function signingKey(key: KeyObject): Promise<SigningKey> {
  const { calculateJwkThumbprint } = await import("jose");
  const { x = "" } = createPublicKey(key).export({ format: "jwk" });
  const kid = await calculateJwkThumbprint({ kty: "OKP", crv: "Ed25519", x });
  return { key, kid, publicJwk: { kty: "OKP", crv: "Ed25519", x, kid, alg: "EdDSA", use: "sig" } };
}
