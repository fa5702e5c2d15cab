// Replays recorded requests through a policy, in the order of their times, and collects the answers that change.
import type { EffectivePolicy } from "../policy/read.ts";
import type { BenchOptions } from "../policy-tests/bench.ts";
import { Slices } from "../v8/slices.ts";
import { Changes } from "./changes.ts";
import type { RecordedRequest } from "./recorded-request.ts";
import { ReplayedService } from "./replayed-service.ts";

export interface Candidate {
  readonly policy: EffectivePolicy;
  readonly options: Omit<BenchOptions, "clock">;
}

/** Limit, because each service's policy is set up. */
const maxServices = 1_000;

/**
 * Rejects like `candidateFor`, when a plugin cannot be set up, and when there are too many services.
 * @param requests requests of any services, by time
 * @param candidateFor gives the policy to try for a service
 */
export async function replay(
  requests: Iterable<RecordedRequest>,
  candidateFor: (service: string) => Promise<Candidate>,
): Promise<Changes> {
  const changes = new Changes();
  const services = new Map<string, ReplayedService>();
  const slices = new Slices();
  try {
    for (const request of requests) {
      let service = services.get(request.service);
      if (service === undefined) {
        if (services.size === maxServices)
          throw new Error(`the lines name more than ${maxServices} services`);
        const { policy, options } = await candidateFor(request.service);
        service = await ReplayedService.of(policy, options);
        services.set(request.service, service);
      }
      changes.add(request, await service.decide(request));
      if (slices.over) await slices.next();
    }
  } finally {
    await Promise.all([...services.values()].map((service) => service.close()));
  }
  return changes;
}
