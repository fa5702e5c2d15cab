// The real clock. Tests pass in a different one.
import type { Clock } from "../plugin-api/services.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
};
