// A region's lease of a caller's quota, as it is kept in the region's Redis, and what may become of it by what the home region
// says: that one is never believed more than was asked for, or than the pool holds.
import { maxQuota, type QuotaWant } from "../../language/region-quota.ts";

export interface QuotaLease {
  readonly startMs: number;
  readonly seq: number;
  /** Permits that the region may use in the window. */
  readonly permits: number;
  /** Those that the home region counts as the region's, and that were lost here: they count as used. */
  readonly lost: number;
  /** Whether the pool was empty when it was last asked. */
  readonly isEmpty: boolean;
}

export function leaseText({ startMs, seq, permits, lost, isEmpty }: QuotaLease): string {
  return `${startMs} ${seq} ${permits} ${lost} ${isEmpty ? 1 : 0}`;
}

/** @returns undefined for what is none of this window */
export function parseLease(text: string, startMs: number): QuotaLease | undefined {
  const [, start, seq, permits, lost, empty] =
    /^(\d{1,15}) (\d{1,15}) (\d{1,10}) (\d{1,10}) ([01])$/.exec(text) ?? [];
  if (Number(start) !== startMs) return undefined;
  return { startMs, seq: Number(seq), permits: Number(permits), lost: Number(lost), isEmpty: empty === "1" };
}

const maxSeq = 1e14;

/** What the home region answered. */
export interface Lent {
  readonly seq: number;
  readonly before: number;
  readonly total: number;
  readonly isEmpty: boolean;
}

/** @returns undefined for what no honest home region answers */
export function parseLent(reply: unknown): Lent | undefined {
  if (!Array.isArray(reply) || reply.length !== 4) return undefined;
  const [seq, before, total, empty] = (reply as unknown[]).map(Number) as [number, number, number, number];
  const isSound =
    [seq, before, total].every((value) => Number.isSafeInteger(value)) &&
    seq >= -2 &&
    seq <= maxSeq &&
    before >= 0 &&
    total >= before &&
    total <= maxQuota;
  return isSound ? { seq, before, total, isEmpty: empty !== 0 } : undefined;
}

/**
 * @param lease undefined = the region has none, or has lost it @param more permits that were asked for
 * What is given back is no longer the region's, though its Redis may have forgotten that.
 * @returns the lease to keep; undefined = as it is; a text = why the answer does not count
 */
export function leaseAfter(
  lease: QuotaLease | undefined,
  { startMs, pool }: QuotaWant,
  more: number,
  { seq, before, total, isEmpty }: Lent,
): QuotaLease | string | undefined {
  const held = lease === undefined ? 0 : lease.permits + lease.lost;
  if (lease !== undefined && total < held && total === before && seq > lease.seq) {
    const lost = Math.min(lease.lost, total);
    return { startMs, seq, permits: total - lost, lost, isEmpty };
  }
  if (total < held || total > Math.max(held, pool) || total - Math.max(held, before) > more)
    return `it says that ${total} permits are lent here, and ${held} are; ${more} more were asked for`;
  const lost = lease?.lost ?? before;
  const next = { startMs, seq, permits: total - lost, lost, isEmpty };
  if (lease === undefined) return next;
  if (next.permits === lease.permits) {
    // Told to sidecars, which then know how long to wait.
    return lease.isEmpty === isEmpty ? undefined : { ...lease, isEmpty };
  }
  return seq > lease.seq ? next : `its sequence number is ${seq}, below ${lease.seq}`;
}
