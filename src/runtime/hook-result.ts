// Defines the outcomes of a hook call.
import { GatewayError } from "../plugin-api/errors.ts";

/** The hook's value, or a failure that tells how the chain goes on. */
export type HookResult<T> = T | HookFailure;

/** A hook that threw, rejected or timed out, or that was skipped because it keeps hanging. */
export class HookFailure {
  readonly error: GatewayError;
  constructor(error: GatewayError) {
    this.error = error;
  }
}

export function pluginFailed(error: unknown): HookFailure {
  return new HookFailure(
    new GatewayError("plugin_failed", "A plugin of this route failed.", { cause: error }),
  );
}

/**
 * Nothing can run the hook at the moment. Each call counts as an error; the reason is logged once, not with each call.
 */
export class PluginUnavailable extends Error {
  override readonly name = "PluginUnavailable";
}

/** @returns the failure of a hook that is skipped because it keeps hanging */
export function leftOut(): HookFailure {
  return new HookFailure(new GatewayError("plugin_failed", "A plugin of this route does not answer."));
}
