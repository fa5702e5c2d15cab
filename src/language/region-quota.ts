// Names the Redis keys and texts of a quota that regions share, for sidecars and relays. Beside a caller's count lies a
// lease that a relay took from the home region, and in the home region a list of what is lent. Each service has a list
// of callers that want more.

/** The numbers of a caller's quota in one window. Times are epoch milliseconds, amounts are permits. */
export interface QuotaWant {
  /** The region whose Redis lends permits. */
  readonly home: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Permits that each region has of its own. */
  readonly share: number;
  /** Permits that can be lent, beyond all shares. */
  readonly pool: number;
  /** How many permits a region wants to hold in advance. */
  readonly ahead: number;
}

export const regionPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/;
export const maxQuota = 1_000_000_000;
/** How many callers of a service are kept in its list of wants. The ones seen longest ago are dropped. */
export const maxWants = 2_000;
const maxWindowMs = 32 * 86_400_000;

/** @param sharers name of a service, or `@fleet` */
export const wantsKey = (sharers: string): string => `rl:${sharers}:wants`;
export const leaseKey = (countKey: string): string => `${countKey}:lease`;
export const lentKey = (countKey: string): string => `${countKey}:lent`;

/** Makes a member of the list of wants. It stays the same for the whole window. */
export function wantText(countKey: string, want: QuotaWant): string {
  const { home, startMs, endMs, share, pool, ahead } = want;
  return `${countKey} ${home} ${startMs} ${endMs} ${share} ${pool} ${ahead}`;
}

const wanted =
  /^(rl:([^\s:{}]{1,64}):\{[\w-]{22}\}:[A-Za-z0-9_.-]{1,64}:[\w-]{8}:[\w-]{22}) ([\w.-]{1,32}) (\d{1,15}) (\d{1,15}) (\d{1,10}) (\d{1,10}) (\d{1,10})$/;

/** @returns undefined when the text is no valid want of these sharers */
export function parseWant(
  text: string,
  sharers: string,
): { readonly countKey: string; readonly want: QuotaWant } | undefined {
  const [, countKey = "", whose, home = "", ...numbers] = wanted.exec(text) ?? [];
  if (whose !== sharers || !regionPattern.test(home)) return undefined;
  const [startMs = 0, endMs = 0, share = 0, pool = 0, ahead = 0] = numbers.map(Number);
  if (endMs <= startMs || endMs - startMs > maxWindowMs) return undefined;
  if (Math.max(share, pool) > maxQuota || ahead < 1 || ahead > maxQuota) return undefined;
  return { countKey, want: { home, startMs, endMs, share, pool, ahead } };
}
