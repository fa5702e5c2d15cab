// Makes a policy of many routes, as large fleets have: `largePolicy(9_000, "one")`.

/** @param mark value of X-Mark on every answer */
export function largePolicy(routes: number, mark: string): Record<string, unknown> {
  return {
    apiVersion: "outrigger/v1",
    plugins: ["logging", "auth", "rate-limit", "transform"],
    pluginConfig: {
      auth: { required: false },
      "rate-limit": { limits: [{ name: "caller", by: "subject", limit: 1_000_000, window: "1m" }] },
      transform: { addResponseHeaders: { "x-mark": mark } },
    },
    routes: [
      { path: "/*" },
      ...Array.from({ length: routes - 1 }, (_, index) => ({
        path: `/api/service-${index}/items/*`,
        methods: ["GET", "POST"],
        timeout: 5_000,
      })),
    ],
  };
}
