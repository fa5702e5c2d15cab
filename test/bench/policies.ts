// Makes the policies under which the sidecar is measured, and the callers that they know.
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { registry } from "../../plugins/index.ts";

export type PolicyName =
  | "no plugins"
  | "no plugins, retry"
  | "logging"
  | "logging, 5,000 routes"
  | "logging+cors+transform"
  | "full chain"
  | "full chain, Redis cache";

export interface BenchPolicy {
  readonly document: Readonly<Record<string, unknown>>;
  /** Plugins that the policy names but this version does not have. */
  readonly missing: readonly string[];
  readonly needsRedis: boolean;
}

export interface Callers {
  readonly tokens: readonly string[];
  readonly publicKey: unknown;
}

const issuer = "https://id.example";
const callers = 50;

/** Makes fifty callers, each with a token that is valid for an hour. */
export async function createCallers(): Promise<Callers> {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const tokens = Array.from({ length: callers }, (_, index) =>
    new SignJWT({ plan: "pro", scope: "items:read items:write" })
      .setProtectedHeader({ alg: "ES256", kid: "bench", typ: "JWT" })
      .setIssuer(issuer)
      .setAudience("api")
      .setSubject(`user-${index}`)
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(privateKey),
  );
  const jwk = { ...(await exportJWK(publicKey)), kid: "bench", alg: "ES256", use: "sig" };
  return { tokens: await Promise.all(tokens), publicKey: jwk };
}

const chainPlugins = ["logging", "cors", "auth", "rate-limit", "cache", "transform"];

/** The limit of the cache's memory keeps the memory figures about the sidecar, not about its cached answers. */
const cacheMemoryBytes = 4_194_304;

export function policyOf(name: PolicyName, { publicKey }: Callers): BenchPolicy {
  const plugins = {
    "no plugins": [],
    "no plugins, retry": [],
    logging: ["logging"],
    "logging, 5,000 routes": ["logging"],
    "logging+cors+transform": ["logging", "cors", "transform"],
    "full chain": chainPlugins,
    "full chain, Redis cache": chainPlugins,
  }[name];
  const options: Readonly<Record<string, unknown>> = {
    logging: {},
    cors: { origins: ["https://app.example"], credentials: true },
    auth: {
      apiKeys: false,
      jwt: { issuers: [{ issuer, jwks: { keys: [publicKey] }, algorithms: ["ES256"], audience: ["api"] }] },
    },
    "rate-limit": {
      limits: [{ name: "per-caller", by: "subject", limit: 1_000_000, window: "1s", mode: "leased" }],
      // All load comes from one core: load shedding would only measure the bench's own queue.
      overload: { enabled: false },
    },
    cache: { redis: name === "full chain, Redis cache", memoryBytes: cacheMemoryBytes },
    transform: {
      addHeaders: { "X-Request-Source": "gateway $clientIp" },
      addResponseHeaders: { "X-Served-By": "outrigger" },
    },
  };
  return {
    document: {
      apiVersion: "outrigger/v1",
      plugins,
      pluginConfig: Object.fromEntries(plugins.map((plugin) => [plugin, options[plugin]])),
      ...(name === "no plugins, retry" ? { routes: [{ path: "/*", retry: {} }] } : {}),
      ...(name === "logging, 5,000 routes"
        ? { routes: Array.from({ length: 5_000 }, (_, index) => ({ path: `/items/${index}` })) }
        : {}),
    },
    missing: plugins.filter((plugin) => registry.every((known) => known.name !== plugin)),
    needsRedis: name.startsWith("full chain"),
  };
}
