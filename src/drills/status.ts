// What `GET /drill` shows, and the command reads.
import { z } from "zod";

const counts = z.record(z.string(), z.int().min(1)).readonly();

const drilledRoute = z.object({
  /** "" = requests that no route takes. */
  route: z.string(),
  requests: z.int().min(0),
  statuses: counts,
  /** Who answered in place of the service: `auth: dependency_unavailable`; of errors of the sidecar itself the code alone. */
  answeredBy: counts,
  /** What the policy says of the fault here. */
  declared: z.array(z.string()).readonly(),
});

const running = z.object({ id: z.int().min(1), fault: z.string(), forMs: z.int().min(1) });

export const drillStatus = z.object({
  service: z.string(),
  instance: z.string(),
  running: running.extend({ leftMs: z.int().min(0) }).nullable(),
  /** null = there was none since the start. */
  last: running.extend({ routes: z.array(drilledRoute).readonly() }).nullable(),
});

export type DrillStatus = z.output<typeof drillStatus>;
export type DrillReport = NonNullable<DrillStatus["last"]>;
export type DrilledRoute = z.output<typeof drilledRoute>;
