// Splits a limit over several regions with one Redis each. Every region has a share of its own. The rest is a pool in
// the home region, and the relays of the other regions take leases from it.
import { z } from "zod";
import { regionPattern } from "../../src/language/region-quota.ts";

const region = z.string().regex(regionPattern, "expected a region as in OUTRIGGER_REGION");

export const regionOptions = z
  .strictObject({
    home: region.describe("Whose Redis the relays of the other regions lease from."),
    names: z.array(region).min(2).max(16).describe("All regions by OUTRIGGER_REGION, home too."),
    share: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe("Part of the limit that each region may let through by itself, cut off or not."),
  })
  .superRefine(({ home, names, share }, context) => {
    if (new Set(names).size < names.length)
      context.addIssue({ code: "custom", path: ["names"], message: "a region twice" });
    if (!names.includes(home))
      context.addIssue({ code: "custom", path: ["home"], message: "not one of names" });
    if (share * names.length > 1)
      context.addIssue({
        code: "custom",
        path: ["share"],
        message: "all shares together are over the limit",
      });
  });

export type RegionOptions = z.output<typeof regionOptions>;

/** One region's part of a limit. Amounts are permits. */
export interface RegionPart {
  readonly home: string;
  readonly isHome: boolean;
  readonly share: number;
  readonly pool: number;
  /** A caller with fewer permits left than this wants a lease. */
  readonly ahead: number;
}

export const shareOfRegion = ({ share }: RegionOptions, limit: number): number => Math.floor(limit * share);

/**
 * @param here OUTRIGGER_REGION; undefined = counts are not shared between sidecars here, so only the share applies
 * @throws Error when `here` is none of the regions
 */
export function regionPart(
  { name, limit, cost, regions }: { name: string; limit: number; cost: number; regions: RegionOptions },
  here: string | undefined,
): RegionPart {
  const { home, names } = regions;
  if (here !== undefined && !names.includes(here)) {
    const what = here === "" ? "is not set" : `is "${here}", which is none of its regions`;
    throw new Error(
      `limit "${name}": OUTRIGGER_REGION ${what} (${names.join(", ")}): set it, or name it there`,
    );
  }
  const share = shareOfRegion(regions, limit);
  const pool = limit - names.length * share;
  const ahead = Math.max(cost, Math.ceil(pool / (4 * names.length)));
  return { home, isHome: here === home, share, pool, ahead };
}
