// Runs a sidecar in one process: control plane and data plane side by side.
import type { AddressInfo } from "node:net";
import type { Config } from "../config/config.ts";
import { removeStaleSockets } from "../files/unix-socket.ts";
import { addressesText, addressText } from "../language/address-text.ts";
import { version } from "../version.ts";
import { placesOf } from "./client-listener.ts";
import { type ControlPlane, createControlPlane } from "./control-plane.ts";
import { createDataPlane, type LocalDataPlane } from "./data-plane.ts";
import { fitDescriptors } from "./descriptors.ts";
import { type ContextOptions, createProcessContext, type ProcessContext } from "./process-context.ts";

/** Parts that tests replace. */
export type SidecarOverrides = Pick<
  ContextOptions,
  "registry" | "clock" | "output" | "middleware" | "utilization"
>;

export interface Sidecar {
  readonly address: AddressInfo | string;
  /** All addresses of OUTRIGGER_LISTEN; `address` is the first. */
  readonly addresses: readonly (AddressInfo | string)[];
  readonly adminAddress: AddressInfo | string;
  /** All metrics in the Prometheus text format. */
  metrics(): Promise<string>;
  reportFault(kind: string, error: unknown, plugin?: string): void;
  /** Resolves with the exit code when the admin listener is told to end the process. */
  readonly ending: Promise<number>;
  /** Becomes unready, drains within the configured limit, closes everything, flushes the log. */
  stop(): Promise<void>;
}

/** Rejects, leaving nothing running; with StartError when an address cannot be bound. */
export async function startSidecar(config: Config, overrides: SidecarOverrides = {}): Promise<Sidecar> {
  const parts: Parts = { context: createProcessContext(config, overrides) };
  try {
    return await startPlanes(parts);
  } catch (error) {
    await closeAll(parts);
    throw error;
  }
}

/** The parts that have been created so far. */
interface Parts {
  readonly context: ProcessContext;
  data?: LocalDataPlane;
  control?: ControlPlane;
}

async function startPlanes(parts: Parts): Promise<Sidecar> {
  const { context } = parts;
  const { config, telemetry } = context;
  const { logger } = telemetry;
  const fitted = fitDescriptors(config, logger);
  const data = createDataPlane(context, fitted.config);
  parts.data = data;
  const control = await createControlPlane(context, data, fitted.adminConnections);
  parts.control = control;
  const adminAddress = await control.start();
  await removeStaleSockets(placesOf(config));
  const addresses = await data.listen();
  logger.info({ version, address: addressesText(addresses), admin: addressText(adminAddress) }, "listening");
  return {
    address: addresses[0] as AddressInfo | string,
    addresses,
    adminAddress,
    metrics: () => data.renderMetrics(),
    reportFault: (kind, error, plugin) => telemetry.reportFault(kind, error, plugin),
    ending: control.ending,
    async stop() {
      logger.info({ inFlight: data.inFlight }, "draining");
      await data.drain();
      await closeAll(parts);
    },
  };
}

async function closeAll({ context, data, control }: Parts): Promise<void> {
  await control?.stop();
  await data?.close();
  await control?.close();
  await context.close();
}
