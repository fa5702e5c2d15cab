// The format of `GET /drill`, which the command reads.
import { z } from "zod";

const counts = z.record(z.string(), z.int().min(1)).readonly();

const drilledRoute = z.object({
  /** "" = requests that no route took. */
  route: z.string(),
  requests: z.int().min(0),
  statuses: counts,
  /**
   * Answers in place of the service: `auth: dependency_unavailable`; for errors of the sidecar itself only the code.
   */
  answeredBy: counts,
  /** What the policy declares about this fault here. */
  declared: z.array(z.string()).readonly(),
});

const running = z.object({ id: z.int().min(1), fault: z.string(), forMs: z.int().min(1) });

export const drillStatus = z.object({
  service: z.string(),
  instance: z.string(),
  running: running.extend({ leftMs: z.int().min(0) }).nullable(),
  /** null = no drill since the start. */
  last: running.extend({ routes: z.array(drilledRoute).readonly() }).nullable(),
});

export type DrillStatus = z.output<typeof drillStatus>;
export type DrillReport = NonNullable<DrillStatus["last"]>;
export type DrilledRoute = z.output<typeof drilledRoute>;
