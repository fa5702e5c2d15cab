// What `policy lint` learns from respond: where it answers every method, no request reaches the service.
import type { PluginLint } from "../../src/plugin-api/contract.ts";
import type { RespondOptions } from "./options.ts";

export const lint: PluginLint<RespondOptions> = {
  provides: {
    answer: ({ when: { methods } }) => methods.length === 0 || `respond answers ${methods.join(", ")} alone`,
  },
};
