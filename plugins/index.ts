// The registry: every plugin this sidecar knows. A policy that names another one is refused.
import type { PluginDefinition } from "../src/plugin-api/contract.ts";
import { auth } from "./auth/index.ts";
import { bodyTransform } from "./body-transform/index.ts";
import { cache } from "./cache/index.ts";
import { compress } from "./compress/index.ts";
import { cors } from "./cors/index.ts";
import { csrf } from "./csrf/index.ts";
import { extAuth } from "./ext-auth/index.ts";
import { ipFilter } from "./ip-filter/index.ts";
import { logging } from "./logging/index.ts";
import { rateLimit } from "./rate-limit/index.ts";
import { redirect } from "./redirect/index.ts";
import { respond } from "./respond/index.ts";
import { score } from "./score/index.ts";
import { securityHeaders } from "./security-headers/index.ts";
import { transform } from "./transform/index.ts";
import { validate } from "./validate/index.ts";

export const registry: readonly PluginDefinition[] = [
  logging,
  redirect,
  ipFilter,
  cors,
  respond,
  auth,
  csrf,
  extAuth,
  rateLimit,
  score,
  validate,
  cache,
  transform,
  compress,
  bodyTransform,
  securityHeaders,
];
