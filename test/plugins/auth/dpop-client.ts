// A client of RFC 9449: a key of its own, and a proof by it for each request.
import { hash, randomUUID } from "node:crypto";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";

export interface ProofFacts {
  readonly token?: string;
  readonly htm?: string;
  readonly htu?: string;
  /** Over what is right; `undefined` leaves a member out. */
  readonly header?: Record<string, unknown>;
  readonly claims?: Record<string, unknown>;
  /** Signs in place of the own key. */
  readonly key?: CryptoKey;
}

export class DpopClient {
  readonly jwk: JWK;
  readonly jkt: string;
  readonly key: CryptoKey;
  readonly #alg: string;

  private constructor(jwk: JWK, jkt: string, key: CryptoKey, alg: string) {
    this.jwk = jwk;
    this.jkt = jkt;
    this.key = key;
    this.#alg = alg;
  }

  static async create(alg = "ES256"): Promise<DpopClient> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = await exportJWK(publicKey);
    return new DpopClient(jwk, await calculateJwkThumbprint(jwk), privateKey, alg);
  }

  /** A proof that is good unless the facts say otherwise. */
  prove({
    token,
    htm = "GET",
    htu = "http://api.example/",
    header,
    claims,
    key,
  }: ProofFacts): Promise<string> {
    const payload = {
      jti: randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      htm,
      htu,
      ...(token !== undefined && { ath: hash("sha256", token, "base64url") }),
      ...claims,
    };
    return new SignJWT(payload)
      .setProtectedHeader({ typ: "dpop+jwt", alg: this.#alg, jwk: this.jwk, ...header })
      .sign(key ?? this.key);
  }
}

/** The fields of a request with a bound token. */
export const withProof = (token: string, ...proofs: string[]): string[] => [
  "Authorization",
  `DPoP ${token}`,
  ...proofs.flatMap((proof) => ["DPoP", proof]),
];
