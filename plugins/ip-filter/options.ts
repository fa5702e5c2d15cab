// Options of the ip-filter plugin.
import { z } from "zod";
import { seconds } from "../../src/language/duration.ts";
import { network } from "../../src/language/network.ts";

const networks = z.array(network).max(10_000).default([]);

const names = z
  .array(z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and dashes"))
  .max(16)
  .default([]);

export const ipFilterOptions = z.strictObject({
  allow: networks.describe(
    "Networks (`10.0.0.0/8`, `2001:db8::/32`, single addresses) that alone are let in.",
  ),
  deny: networks.describe("Networks that are refused, also where `allow` or `lists` has them."),
  lists: names.describe(
    "Names of lists in Redis (`ip-list:<name>`) of networks that are let in, beside `allow`.",
  ),
  denyLists: names.describe("Names of such lists of networks that are refused."),
  staleSeconds: seconds(0, 86_400)
    .default(300)
    .describe(
      "How long a list still counts when Redis cannot be asked whether it has changed; after that, 503.",
    ),
  dryRun: z.boolean().default(false).describe("Counts and logs what would be refused, and refuses nothing."),
});

export type IpFilterOptions = z.output<typeof ipFilterOptions>;
