// The real clock; tests hand in another.
import type { Clock } from "../plugin-api/services.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
};
