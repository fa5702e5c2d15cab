// Holds what outlives a policy change: this process's keys and verdicts, shared by every route and snapshot.
import type { Services } from "../../src/plugin-api/contract.ts";
import type { Assertion } from "./assertions/assertion.ts";
import { BcryptThread } from "./basic/bcrypt-thread.ts";
import type { CheckBcrypt } from "./basic/password-hash.ts";
import { AuthCounts } from "./counts.ts";
import { EndedSessions } from "./sessions/ended-sessions.ts";
import type { FailedAuthLimiter } from "./failed-auth-limiter.ts";
import type { ProofCheck } from "./dpop/proof-check.ts";
import type { JwksSource } from "./issuers/jwks.ts";
import { KeyStore } from "./api-keys/key-store.ts";
import { KeyUsage } from "./api-keys/key-usage.ts";
import type { Login } from "./login/login.ts";
import { RevokedSessions } from "./sessions/revoked-sessions.ts";
import { SessionRefreshes } from "./sessions/session-refreshes.ts";
import { RefCountedPool } from "./ref-counted-pool.ts";
import type { TokenExchange } from "./token-exchange/token-exchange.ts";
import { Replays } from "./replays.ts";
import type { SchemeCheck } from "./scheme-check.ts";
import type { TokenCheck } from "./tokens/tokens.ts";

export interface AuthState {
  readonly keys: KeyStore;
  readonly usage: KeyUsage;
  readonly counts: AuthCounts;
  readonly sources: RefCountedPool<JwksSource>;
  readonly tokens: RefCountedPool<TokenCheck>;
  readonly proofs: RefCountedPool<ProofCheck>;
  readonly schemes: RefCountedPool<SchemeCheck>;
  readonly checkBcrypt: CheckBcrypt;
  /** Remembers what may count only once. */
  readonly replays: Replays;
  readonly logins: RefCountedPool<Login>;
  /** Made when the first login needs it. */
  endedSessions(): EndedSessions;
  revokedSessions(): RevokedSessions;
  readonly refreshes: SessionRefreshes;
  readonly assertions: RefCountedPool<Assertion>;
  readonly tokenExchanges: RefCountedPool<TokenExchange>;
  readonly failedAuth: RefCountedPool<FailedAuthLimiter>;
  /** Stops watching for changes, and writes down which keys were used. */
  dispose(): Promise<void>;
}

/** @throws Error when a pepper is too short */
export function createState(services: Services): AuthState {
  let ended: EndedSessions | undefined;
  let revoked: RevokedSessions | undefined;
  const bcrypt = new BcryptThread();
  const keys = new KeyStore(services);
  const usage = new KeyUsage(services);
  return {
    keys,
    usage,
    counts: new AuthCounts(services.metrics),
    sources: new RefCountedPool<JwksSource>(),
    tokens: new RefCountedPool<TokenCheck>(),
    proofs: new RefCountedPool<ProofCheck>(),
    schemes: new RefCountedPool<SchemeCheck>(),
    checkBcrypt: (task) => bcrypt.matches(task),
    replays: new Replays(services),
    logins: new RefCountedPool<Login>(),
    endedSessions: () => (ended ??= new EndedSessions(services)),
    revokedSessions: () => (revoked ??= new RevokedSessions(services)),
    refreshes: new SessionRefreshes(),
    assertions: new RefCountedPool<Assertion>(),
    tokenExchanges: new RefCountedPool<TokenExchange>(),
    failedAuth: new RefCountedPool<FailedAuthLimiter>(),
    async dispose() {
      bcrypt.close();
      keys.close();
      ended?.close();
      revoked?.close();
      await usage.flush();
    },
  };
}
