// What is in force where the settings name no source.
import type { RawPolicy } from "../read.ts";

/** One route that takes everything. With OUTRIGGER_POLICY_KEYS set it is refused: unsigned. */
export const builtinPolicy: RawPolicy = {
  shared: Buffer.from('{ "apiVersion": "outrigger/v1" }'),
  layer: undefined,
  format: "json",
};
