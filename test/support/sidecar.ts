// Starts sidecars for this project's tests with the test kit of plugins. Their HTTP/1.1 listener is chosen once for the
// whole run (see listener.ts).
import * as kit from "../../src/testing/sidecar.ts";
import { listenerSettings } from "./listener.ts";

export type { TestSidecar, TestSidecarOptions } from "../../src/testing/sidecar.ts";

export function startSidecar(options: kit.TestSidecarOptions): Promise<kit.TestSidecar> {
  return kit.startSidecar({ ...options, env: { ...listenerSettings, ...options.env } });
}
