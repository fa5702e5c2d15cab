// What a plugin may take at once of what it shares with others. Infinity = no bound: for what is the sidecar's own.

export interface Quotas {
  /** Calls over HTTP at once. */
  readonly httpInFlight: number;
  /** Memory of its cache. */
  readonly cacheBytes: number;
  /** Of the whole sidecar. */
  readonly databaseConnections: number;
  /** Callers that wait for one of these. */
  readonly databaseWaiting: number;
}

const mebibyte = 1_048_576;

/** For plugins of this repository. */
export const builtInQuotas: Quotas = {
  httpInFlight: 256,
  cacheBytes: 8 * mebibyte,
  databaseConnections: 10,
  databaseWaiting: 100,
};

/** For plugins that a policy brings. */
export const extensionQuotas: Quotas = {
  httpInFlight: 64,
  cacheBytes: 8 * mebibyte,
  databaseConnections: 10,
  databaseWaiting: 100,
};
