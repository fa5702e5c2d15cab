// Lists the promises of .github/SECURITY.md, row by row of the catalogue: `node test/security/run.ts --write` writes
// them there.

export const attackers = ["client", "service layer", "sidecar", "Redis"] as const;

export interface Promised {
  /** The attacker that the promise is about. */
  readonly against: (typeof attackers)[number];
  readonly promise: string;
  /** Further tests that check the promise, besides the attack. */
  readonly tests?: readonly string[];
}

const client = (promise: string, ...tests: string[]): Promised => ({ against: "client", promise, tests });
const layer = (promise: string, ...tests: string[]): Promised => ({
  against: "service layer",
  promise,
  tests,
});
const sidecar = (promise: string, ...tests: string[]): Promised => ({ against: "sidecar", promise, tests });
const redis = (promise: string, ...tests: string[]): Promised => ({ against: "Redis", promise, tests });

export const promises: Readonly<Record<string, Promised>> = {
  Z1: client("A session opens only the login it was begun for, under the claims that are required now."),
  Z2: redis("What lies in Redis signs nobody in."),
  Z3: client("Cookies of a login reach no service."),
  Z4: client("Another site cannot use a browser's session."),
  Z5: client("No cache hands on an answer that carries a session or was made for another's credential."),
  Z6: client("A login ends where it began, with the provider that was asked, and a logout holds."),
  Z7: client("One request's fault is that request's: nobody else is refused for it."),
  Z8: client("Whoever floods one kind of credential does not shut out the others."),
  Z9: client("Deep nesting exhausts nothing."),
  Z10: client("Who guesses keys does not shut out his neighbours' good ones."),
  Z11: client("What holds for GET holds for HEAD."),
  Z12: client("A path that a service could read as another route's passes no route."),
  Z13: client("No spelling of a path passes its rule."),
  Z14: layer("By no prefix, upstream, base path or spelling does a layer open what locked plugins close."),
  Z15: layer(
    "Who is calling is said by auth alone, no layer sees its credentials or sets its cookies, and a layer reaches, and speaks for, its own service alone.",
  ),
  Z16: client("Trailers carry nothing in that fields may not."),
  Z17: client("Fields that override method or path do not pass a guard."),
  Z18: client("No spelling of a field poisons the cache."),
  Z19: client("An address is believed from trusted proxies alone."),
  Z20: client("A certificate passes for the name it has, of the type it has."),
  Z21: client("What is no access token is none, and nobody passes for a namesake."),
  Z22: client("A right ends everywhere when it ends: for streams, cached keys and odd records too."),
  Z23: redis(
    "Keys that vouch for tokens count only under a MAC; without a secret they are not shared.",
    "test/unit/redis/seals.test.ts",
    "test/plugins/auth/jwks.test.ts",
  ),
  Z24: sidecar(
    "It reaches no other service's state in Redis, and what it wrote counts for no other service.",
    "test/deploy/redis-acl.test.ts",
  ),
  Z25: layer(
    "A service purges what it answered itself, never a neighbour's.",
    "test/plugins/cache/tables.test.ts",
  ),
  Z26: layer(
    "A secret goes to the hosts that the environment bound it to; nothing asks link-local or metadata addresses.",
    "test/unit/config/secret-hosts.test.ts",
    "test/unit/language/closed-addresses.test.ts",
  ),
  Z27: client("Logins that are never ended cost their browser nothing."),
  Z28: client("Junk key ids do not make good tokens bad."),
  Z29: client("One odd entry in a key set shuts nobody out."),
  Z30: client("A token of another form is asked about before it is refused."),
  Z31: client(
    "A session in Redis is nobody's who reads it, and ends when an operator or the provider says so.",
  ),
  Z32: client("An encoded slash is part of its segment, for rules as for the service."),
  Z33: client("A provider's oddities shut nobody out."),
  Z34: client(
    "A token in a query, subprotocol or cookie is neither logged nor forwarded, other pages do not act with it, and other tenants' are refused.",
  ),
  Z40: client(
    "Whoever floods with upgrades leaves others their requests and upgrades.",
    "test/unit/app/descriptors.test.ts",
  ),
  Z41: client(
    "Connections that their client resets leave nothing behind that others would need.",
    "test/e2e/tls-resets.test.ts",
    "test/unit/exchange/tunnel.test.ts",
  ),
  Z60: redis(
    "A signed policy counts under its own key, until its end and never after a newer one; keys change by a signature alone.",
    "test/unit/policy/signature/freshness.test.ts",
  ),
  Z61: redis(
    'With `apiKeys.signed: "require"` a key counts only with a record that an operator signed for it.',
    "test/unit/cli/signed-keys.test.ts",
  ),
  Z62: redis(
    "Where policies are signed, no kill switch counts that is not, for its own field and until its end.",
    "test/e2e/kill-switch.test.ts",
  ),
  Z71: client(
    "A body that was checked is read by the service as it was checked.",
    "test/plugins/validate/index.test.ts",
  ),
  Z72: client(
    "With csrf no other site's page changes anything, nor opens a WebSocket, whatever cookies its browser has.",
    "test/plugins/csrf/index.test.ts",
  ),
  Z73: client(
    "With compress no answer that may hold a caller's secret tells by its length what is in it, unless the route says so.",
    "test/plugins/compress/index.test.ts",
  ),
  Z74: client(
    "What proves who sends a request (the proof of a bound token, a signature) counts once, for that request alone.",
    "test/plugins/auth/dpop.test.ts",
    "test/plugins/auth/signatures.test.ts",
  ),
  Z75: client(
    "Passwords are guessed at a bounded pace, whoever guesses from wherever, and no answer tells whose they are.",
    "test/plugins/auth/basic.test.ts",
  ),
  Z77: client(
    "With token exchange a service gets the token that was made for it, or none: never the caller's own.",
    "test/plugins/auth/token-exchange.test.ts",
  ),
  Z70: client(
    "Where an endpoint decides, nobody gets in without its answer or by another's, nor sends a field that is its to set.",
    "test/plugins/ext-auth/index.test.ts",
  ),
};
