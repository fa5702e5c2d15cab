// The behavioural suite of UpstreamTransport: every implementation has to pass it, over real sockets.
import { describe } from "node:test";
import { describePool } from "./transport/pool.ts";
import { describeRequests } from "./transport/requests.ts";
import { describeResponses } from "./transport/responses.ts";
import type { CreateTransport } from "./transport/scene.ts";
import { describeSecureUpstreams } from "./transport/secure.ts";
import { describeStaleConnections } from "./transport/stale.ts";
import { describeStreaming } from "./transport/streaming.ts";
import { describeTimeLimits } from "./transport/time-limits.ts";
import { describeUnsolicited } from "./transport/unsolicited.ts";

export function describeTransport(name: string, create: CreateTransport): void {
  describe(name, () => {
    describeResponses(create);
    describeRequests(create);
    describeStreaming(create);
    describePool(create);
    describeStaleConnections(create);
    describeUnsolicited(create);
    describeTimeLimits(create);
    describeSecureUpstreams(create);
  });
}
