// A token issuer over real HTTP: publishes a JWKS, signs tokens, and rotates, fails or stalls when told to.
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from "jose";

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export async function makeSigningKey(kid: string, alg = "ES256"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

export class TokenIssuer {
  /** Keys published now. */
  keys: SigningKey[] = [];
  /** Requests for the key set so far. */
  fetches = 0;
  mode: "well" | "failing" | "stalling" | "garbage" = "well";
  maxAgeSeconds: number | undefined;
  /** Answers requests for the key set instead. */
  respond: http.RequestListener | undefined;
  readonly #server: http.Server;

  private constructor(server: http.Server) {
    this.#server = server;
  }

  static async start(...algorithms: string[]): Promise<TokenIssuer> {
    const server = http.createServer();
    const issuer = new TokenIssuer(server);
    server.on("request", (request, response) => issuer.#answer(request, response));
    server.listen(0, "127.0.0.1");
    server.unref();
    await once(server, "listening");
    const wanted = algorithms.length === 0 ? ["ES256"] : algorithms;
    issuer.keys = await Promise.all(wanted.map((alg) => makeSigningKey(`first-${alg}`, alg)));
    return issuer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
  get jwksUri(): string {
    return `${this.url}/jwks`;
  }

  async rotate(kid: string, keep: "keep" | "drop", alg = "ES256"): Promise<SigningKey> {
    const key = await makeSigningKey(kid, alg);
    this.keys = keep === "keep" ? [...this.keys, key] : [key];
    return key;
  }

  /** A token that is good unless `claims` or `header` say otherwise; `undefined` leaves a claim out. */
  async sign(
    claims: Record<string, unknown> = {},
    options: { key?: SigningKey; header?: Record<string, unknown> } = {},
  ): Promise<string> {
    const key = options.key ?? this.keys[0];
    if (key === undefined) throw new Error("no key to sign with");
    const now = Math.floor(Date.now() / 1000);
    const payload: JWTPayload = { iss: this.url, sub: "u1", aud: "api", iat: now, exp: now + 600, ...claims };
    const header = { alg: key.alg, kid: key.kid, typ: "JWT", ...options.header };
    return await new SignJWT(payload).setProtectedHeader(header).sign(key.privateKey);
  }

  /** The key set as it is published now, with whatever stands beside the keys. */
  jwks(...beside: unknown[]): string {
    return JSON.stringify({ keys: [...beside, ...this.keys.map(({ jwk }) => jwk)] });
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (request.url === "/.well-known/openid-configuration") {
      response.end(JSON.stringify({ issuer: this.url, jwks_uri: this.jwksUri }));
      return;
    }
    this.fetches += 1;
    if (this.respond !== undefined) return this.respond(request, response);
    if (this.mode === "stalling") return;
    response.statusCode = this.mode === "failing" ? 500 : 200;
    if (this.maxAgeSeconds !== undefined)
      response.setHeader("cache-control", `public, max-age=${this.maxAgeSeconds}`);
    response.end(this.mode === "garbage" ? "<html>" : this.jwks());
  }
}

const part = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** Parts of a compact token by hand: JSON text or objects, and a signature. */
export function compact(header: unknown, payload: unknown, signature = "AAAA"): string {
  return `${part(header)}.${part(payload)}.${signature}`;
}
