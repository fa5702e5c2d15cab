// Sets how much a guest may keep or emit.
import type { Bounds } from "./shim/parts.ts";

export const guestBounds: Bounds = {
  effects: { logBytes: 65_536, bytes: 262_144, bodyBytes: 50_331_648 },
  calls: { calls: 64, bodyBytes: 1_048_576 },
  bodyBytes: 16_777_216,
  shared: { entries: 10_000, bytes: 4_194_304, queues: 64, queueItems: 1_024 },
  properties: { entries: 64, bytes: 65_536 },
  metrics: 256,
  fields: 1_024,
  pending: 1_024,
  names: 256,
};
