// Opens the kill switches for one command, and reports in one line when they cannot be read.
import { disabledKey, whyUnread } from "../kill-switch/kill-switch.ts";
import { KillSwitches } from "../plane/kill-switches.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import { type Plane, PlaneRefusal } from "./with-plane.ts";

/** @param trusted keys whose signatures are accepted; undefined = no signature is required */
export async function withSwitches<Result>(
  { store, config }: Plane,
  trusted: readonly VerifyKey[] | undefined,
  work: (switches: KillSwitches) => Promise<Result>,
): Promise<Result> {
  try {
    return await work(new KillSwitches(store, config.keyPrefix, trusted));
  } catch (error) {
    const code = error instanceof StoreUnavailable ? error.code : undefined;
    if (code !== "TOOLARGE" && code !== "WRONGTYPE") throw error;
    throw new PlaneRefusal(
      `no sidecar reads kill switches now: ${whyUnread(code, config.keyPrefix + disabledKey)}`,
    );
  }
}
