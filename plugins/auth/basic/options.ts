// Options of Basic authentication (RFC 7617), for small installations that keep a file of passwords.
import { z } from "zod";
import { seconds } from "../../../src/language/duration.ts";
import { holderFacts, secretName } from "../option-fields.ts";

export const basicOptions = z.strictObject({
  users: secretName.describe(
    "Name of the secret with the users: a line `name:hash` each, of argon2id, scrypt or bcrypt (best as OUTRIGGER_SECRET_…_FILE)",
  ),
  ...holderFacts,
  identities: z
    .array(z.strictObject({ user: z.string().min(1).describe("Name of the user"), ...holderFacts }))
    .refine((list) => new Set(list.map(({ user }) => user)).size === list.length, {
      error: "names a user twice",
    })
    .default([])
    .describe("What single users have in place of what all have"),
  cacheSeconds: seconds(0, 3600)
    .default(60)
    .describe("How long a password that was checked is remembered, as a keyed hash in memory"),
});

export type BasicOptions = z.output<typeof basicOptions>;
