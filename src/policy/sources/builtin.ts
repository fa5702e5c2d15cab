// The policy that is in force when the settings name no source.
import type { RawPolicy } from "../read.ts";

/** One route that takes every request. It is unsigned, so it is refused when OUTRIGGER_POLICY_KEYS is set. */
export const builtinPolicy: RawPolicy = {
  shared: Buffer.from('{ "apiVersion": "outrigger/v1" }'),
  layer: undefined,
  format: "json",
};
