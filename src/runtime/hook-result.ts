// What the call of a hook comes to.
import { GatewayError } from "../plugin-api/errors.ts";

/** What a hook came to: its value, or that it failed and how the chain goes on. */
export type HookResult<T> = T | HookFailure;

/** A hook that threw, rejected or took too long, or that is left out because it hangs. */
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

/** There is nobody to call just now. Each call counts as an error; why is in the log once, not with each. */
export class PluginUnavailable extends Error {
  override readonly name = "PluginUnavailable";
}

/** @returns the failure of a hook that is not called because it hangs */
export function leftOut(): HookFailure {
  return new HookFailure(new GatewayError("plugin_failed", "A plugin of this route does not answer."));
}
