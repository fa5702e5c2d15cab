// Runs recorded requests through a policy, in the order in which they were made, and tells whose answer would be another.
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

/** Each has its policy set up. */
const maxServices = 1_000;

/**
 * @param requests of any services, in the order in which they were made
 * @param candidateFor what is to be in force for a service
 * Rejects as `candidateFor` does, when a plugin cannot be set up, and when there are too many services.
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
