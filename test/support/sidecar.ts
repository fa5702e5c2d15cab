// Sidecars for tests of our own, as the test kit of plugins starts them; what reads HTTP/1.1 in them is asked of the whole
// run (see listener.ts).
import * as kit from "../../src/testing/sidecar.ts";
import { listenerSettings } from "./listener.ts";

export type { TestSidecar, TestSidecarOptions } from "../../src/testing/sidecar.ts";

export function startSidecar(options: kit.TestSidecarOptions): Promise<kit.TestSidecar> {
  return kit.startSidecar({ ...options, env: { ...listenerSettings, ...options.env } });
}
