// What a plugin may take at once of what it shares with others. Infinity = no bound: for what is the sidecar's own.

export interface Quotas {
  /** Calls over HTTP at once. */
  readonly httpInFlight: number;
}

/** For plugins of this repository. */
export const builtInQuotas: Quotas = { httpInFlight: 256 };

/** For plugins that a policy brings. */
export const extensionQuotas: Quotas = { httpInFlight: 64 };
