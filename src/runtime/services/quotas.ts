// What a plugin may take at once of what it shares with others. Infinity = no bound: for what is the sidecar's own.

export interface Quotas {
  /** Calls over HTTP at once. */
  readonly httpInFlight: number;
  /** Calls and their further tries, and as many saved up. */
  readonly httpCallsPerSecond: number;
  /** Bodies of the answers that these wait for. */
  readonly httpAnswerBytes: number;
  /** Memory of its cache. */
  readonly cacheBytes: number;
  /** Of the whole sidecar. */
  readonly databaseConnections: number;
  /** Callers that wait for one of these. */
  readonly databaseWaiting: number;
  readonly storeCommandsPerSecond: number;
  /** Lines of both logs. */
  readonly logLinesPerSecond: number;
  /** Of all its metrics together. */
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

/** For plugins that a policy brings; it or their manifests may name other numbers. */
export const extensionQuotas: Quotas = {
  ...builtInQuotas,
  httpInFlight: 64,
  httpCallsPerSecond: 200,
  httpAnswerBytes: 16 * mebibyte,
  storeCommandsPerSecond: 5_000,
  logLinesPerSecond: 100,
  metricSeries: 500,
};
