// A quota over regions, as sidecars and relays name it in Redis: the count of a caller has a lease beside it, which a relay
// took from the home region, and there a list of what is lent; and each service has a list of callers that want more.

/** Which numbers a caller's quota has in one window. Times are epoch ms, amounts are permits. */
export interface QuotaWant {
  /** The region whose Redis lends. */
  readonly home: string;
  readonly startMs: number;
  readonly endMs: number;
  /** What each region has of its own. */
  readonly share: number;
  /** What is lent of, over all shares. */
  readonly pool: number;
  /** How many permits a region wants to have ahead of need. */
  readonly ahead: number;
}

export const regionPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/;
export const maxQuota = 1_000_000_000;
/** Callers of a service whose wants are kept; those seen longest ago go. */
export const maxWants = 2_000;
const maxWindowMs = 32 * 86_400_000;

/** @param sharers a service, or `@fleet` */
export const wantsKey = (sharers: string): string => `rl:${sharers}:wants`;
export const leaseKey = (countKey: string): string => `${countKey}:lease`;
export const lentKey = (countKey: string): string => `${countKey}:lent`;

/** A member of the list of wants: the same for the whole window. */
export function wantText(countKey: string, want: QuotaWant): string {
  const { home, startMs, endMs, share, pool, ahead } = want;
  return `${countKey} ${home} ${startMs} ${endMs} ${share} ${pool} ${ahead}`;
}

const wanted =
  /^(rl:([^\s:{}]{1,64}):\{[\w-]{22}\}:[A-Za-z0-9_.-]{1,64}:[\w-]{8}:[\w-]{22}) ([\w.-]{1,32}) (\d{1,15}) (\d{1,15}) (\d{1,10}) (\d{1,10}) (\d{1,10})$/;

/** @returns undefined for what is no want of these sharers */
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
