// The context of an exchange whose client and service are stubs.
import type { ClientAddress } from "../client/client-address.ts";
import { ClientLimits } from "../client/client-limits.ts";
import type { ProxyContext } from "../exchange/context.ts";
import type { Clock } from "../plugin-api/contract.ts";
import type { ExchangeRecorder } from "../runtime/live-record.ts";
import { scratchLogger } from "./scratch-services.ts";

export const testClient: ClientAddress = { address: "192.0.2.1", peer: "192.0.2.1", viaTrustedProxy: false };

export function contextOf(
  clock: Clock,
  ended: ProxyContext["ended"],
  recorder: ExchangeRecorder | undefined,
): ProxyContext {
  return {
    recorder,
    limits: { upstreamConnectTimeoutMs: 1_000 },
    clock,
    logger: scratchLogger,
    clients: new ClientLimits({
      maxBodyBytes: 0,
      clientStallMs: 1_000,
      minBytesPerSecond: 0,
      bufferBytes: 0,
      clientShare: 100,
    }),
    forward: (exchange) => exchange.openUpstream(),
    draining: () => false,
    began: () => {},
    ended,
  };
}
