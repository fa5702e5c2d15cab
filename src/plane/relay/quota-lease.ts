// Keeps a region's lease of a caller's quota in the region's Redis, and updates it with the home region's answers. An
// answer is never believed beyond what was asked for or beyond the pool.
import { maxQuota, type QuotaWant } from "../../language/region-quota.ts";

export interface QuotaLease {
  readonly startMs: number;
  readonly seq: number;
  /** Permits that the region may use in this window. */
  readonly permits: number;
  /** Permits that the home region counts as this region's but that were lost here: they count as used. */
  readonly lost: number;
  /** Whether the pool was empty when the home region last answered. */
  readonly isEmpty: boolean;
}

export function leaseText({ startMs, seq, permits, lost, isEmpty }: QuotaLease): string {
  return `${startMs} ${seq} ${permits} ${lost} ${isEmpty ? 1 : 0}`;
}

/** @returns undefined for a text that is not a lease of this window */
export function parseLease(text: string, startMs: number): QuotaLease | undefined {
  const [, start, seq, permits, lost, empty] =
    /^(\d{1,15}) (\d{1,15}) (\d{1,10}) (\d{1,10}) ([01])$/.exec(text) ?? [];
  if (Number(start) !== startMs) return undefined;
  return { startMs, seq: Number(seq), permits: Number(permits), lost: Number(lost), isEmpty: empty === "1" };
}

const maxSeq = 1e14;

/** The home region's answer. */
export interface Lent {
  readonly seq: number;
  readonly before: number;
  readonly total: number;
  readonly isEmpty: boolean;
}

/** @returns undefined for a reply that no honest home region gives */
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
 * Computes the lease after an answer. Permits that were given back are no longer the region's, even if its Redis has
 * forgotten that.
 * @param lease undefined = the region has none, or has lost it
 * @param more permits that were asked for
 * @returns the lease to keep; undefined = the lease stays; a text = why the answer is refused
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
    // Sidecars see this, and then know how long to wait.
    return lease.isEmpty === isEmpty ? undefined : { ...lease, isEmpty };
  }
  return seq > lease.seq ? next : `its sequence number is ${seq}, below ${lease.seq}`;
}
