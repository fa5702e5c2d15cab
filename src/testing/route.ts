// Provides a `RouteInfo` for tests that set up a route by hand.
import type { RouteInfo } from "../plugin-api/contract.ts";

export const anyRoute: RouteInfo = {
  pattern: "/*",
  upstream: "127.0.0.1:3000",
  caseInsensitive: false,
  secretNames: new Set(),
  stripPrefix: undefined,
  strippedOver: [],
};
