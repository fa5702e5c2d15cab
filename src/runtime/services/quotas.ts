// Defines how much a plugin may take of resources that it shares with others. Infinity = no limit: for the sidecar's
// own plugins.

export interface Quotas {
  /** HTTP calls at the same time. */
  readonly httpInFlight: number;
  /** HTTP calls and retries per second; as many can be saved up. */
  readonly httpCallsPerSecond: number;
  /** Bytes of all current answers to these calls together. */
  readonly httpAnswerBytes: number;
  /** Memory of its cache, in bytes. */
  readonly cacheBytes: number;
  /** Database connections of the whole sidecar; its workers share them. */
  readonly databaseConnections: number;
  /** Callers that wait for a database connection. */
  readonly databaseWaiting: number;
  readonly storeCommandsPerSecond: number;
  /** Lines of the log and the access log together. */
  readonly logLinesPerSecond: number;
  /** Series of all its metrics together. */
  readonly metricSeries: number;
}

const mebibyte = 1_048_576;

/** For plugins of this repository. */
export const builtInQuotas: Quotas = {
  httpInFlight: 256,
  httpCallsPerSecond: Infinity,
  httpAnswerBytes: Infinity,
  cacheBytes: 8 * mebibyte,
  databaseConnections: 10,
  databaseWaiting: 100,
  storeCommandsPerSecond: Infinity,
  logLinesPerSecond: Infinity,
  metricSeries: Infinity,
};

/** Defaults for plugins that a policy brings. The policy or the plugin's manifest may set other numbers. */
export const extensionQuotas: Quotas = {
  ...builtInQuotas,
  httpInFlight: 64,
  httpCallsPerSecond: 200,
  httpAnswerBytes: 16 * mebibyte,
  storeCommandsPerSecond: 5_000,
  logLinesPerSecond: 100,
  metricSeries: 500,
};
