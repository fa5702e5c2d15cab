// Runs `outrigger intercept install|remove|status`: manages the rules that redirect a service's port to its sidecar.
import { networkInterfaces } from "node:os";
import { hostNetworkSign } from "../intercept/host-network.ts";
import { findNft, InterceptError, type Nft } from "../intercept/nft.ts";
import { planOf, type Wanted } from "../intercept/plan.ts";
import type { Installed } from "../intercept/read-rules.ts";
import { type EgressInterception, installation, type Interception, tableName } from "../intercept/rules.ts";
import { type InterceptSettings, readSettings } from "../intercept/settings.ts";
import { printJson } from "./json-text.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface InterceptOptions extends Wanted {
  readonly service?: string;
  readonly nodeAddress?: string;
  readonly dryRun?: true;
  readonly json?: true;
}

/** @returns the exit code: 1 when the installation is refused or fails */
export async function install(terminal: Terminal, options: InterceptOptions): Promise<number> {
  return await refusing(terminal, async () => {
    const config = configOf(terminal, options);
    const { interception, notes } = planOf(config, options);
    const rules = installation(interception);
    if (options.dryRun) {
      printJson(terminal, rules);
      return 0;
    }
    refuseHostNetwork(terminal, options.nodeAddress);
    const nft = findNft(terminal.env["PATH"]);
    await refuseOthers(nft, interception);
    await nft.apply(rules);
    const installed = await nft.read(config.service);
    if (installed?.intact !== true)
      throw new InterceptError(
        "the rules were taken by nft and are not what it lists: outrigger intercept status",
      );
    // Checked again, because two installations at once have both found nobody before. At least the later one sees the
    // other now.
    await refuseOthers(nft, interception);
    tell(terminal, options, {
      json: { state: "installed", table: tableName(config.service), ...interception, notes },
      text: [
        `${textOf(interception)} (table inet ${tableName(config.service)})`,
        ...notes.map((note) => `note: ${note}`),
      ],
    });
    return 0;
  });
}

export async function remove(terminal: Terminal, options: InterceptOptions): Promise<number> {
  return await refusing(terminal, async () => {
    const { service } = configOf(terminal, options);
    const was = await findNft(terminal.env["PATH"]).remove(service);
    tell(terminal, options, {
      json: { state: "absent", service, removed: was },
      text: [was ? `nothing of ${service} is intercepted any more` : `nothing of ${service} was intercepted`],
    });
    return 0;
  });
}

/** @returns the exit code: 1 when the rules are missing, changed, or for other ports */
export async function status(terminal: Terminal, options: InterceptOptions): Promise<number> {
  return await refusing(terminal, async () => {
    const config = configOf(terminal, options);
    const installed = await findNft(terminal.env["PATH"]).read(config.service);
    const { state, problem } = stateOf(config, options, installed);
    const { connections = {}, interception } = installed ?? {};
    const counts = { redirected: connections["inbound"] ?? 0, refused: connections["inbound_rest"] ?? 0 };
    const out = { redirected: connections["outbound"] ?? 0, refused: connections["outbound_rest"] ?? 0 };
    tell(terminal, options, {
      json: {
        state,
        service: config.service,
        ...(problem && { problem }),
        ...interception,
        inbound: counts,
        outbound: out,
      },
      text: [
        ...(interception === undefined
          ? []
          : [`${textOf(interception)}: ${counts.redirected} connections so far`]),
        ...(problem === undefined ? [] : [problem]),
      ],
    });
    return state === "installed" ? 0 : 1;
  });
}

function configOf(terminal: Terminal, { service }: InterceptOptions): InterceptSettings {
  return readSettings({ ...terminal.env, ...(service === undefined ? {} : { OUTRIGGER_SERVICE: service }) });
}

async function refusing(terminal: Terminal, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof InterceptError)) throw error;
    terminal.err(`${printable(error.message)}\n`);
    return 1;
  }
}

interface Told {
  readonly json: object;
  readonly text: readonly string[];
}

function tell(terminal: Terminal, options: InterceptOptions, { json, text }: Told): void {
  if (options.json) printJson(terminal, json);
  else for (const line of text) terminal.out(`${printable(line)}\n`);
}

function textOf({ port, toPort, egress }: Interception): string {
  const inbound = `connections from outside for port ${port} go to port ${toPort}`;
  return egress === undefined ? inbound : `${inbound}; ${egressText(egress)}`;
}

function egressText({ ports, toPort, users }: EgressInterception): string {
  const whose = "only" in users ? `user ${users.only}` : `everybody but user ${users.allBut}`;
  return `calls of ${whose} to ports ${ports.join(", ")} elsewhere go to port ${toPort}`;
}

function stateOf(
  config: InterceptSettings,
  options: InterceptOptions,
  installed: Installed | undefined,
): { readonly state: "installed" | "absent" | "altered" | "different"; readonly problem?: string } {
  if (installed === undefined)
    return {
      state: "absent",
      problem: `nothing of ${config.service} is intercepted: its port answers whoever reaches it`,
    };
  const { interception, intact } = installed;
  if (interception === undefined || !intact)
    return {
      state: "altered",
      problem: `the rules in table inet ${tableName(config.service)} were changed by somebody: outrigger intercept install puts them right`,
    };
  const { port, toPort } = planOf(config, { ...options, allowSsh: true }).interception;
  if (interception.port === port && interception.toPort === toPort) return { state: "installed" };
  return {
    state: "different",
    problem: `the settings say port ${port} to ${toPort}: outrigger intercept install puts that in force`,
  };
}

function refuseHostNetwork(terminal: Terminal, nodeAddress: string | undefined): void {
  const found = Object.entries(networkInterfaces());
  const sign = hostNetworkSign({
    inKubernetes: (terminal.env["KUBERNETES_SERVICE_HOST"] ?? "") !== "",
    interfaces: found.map(([name]) => name),
    addresses: found.flatMap(([, each = []]) => each.map(({ address }) => address)),
    nodeAddress,
  });
  if (sign !== undefined)
    throw new InterceptError(
      `this pod is on its node's network (${sign}): rules here would take the port from all that runs on the node; remove hostNetwork`,
    );
}

async function refuseOthers(nft: Nft, interception: Interception): Promise<void> {
  for (const other of await nft.services()) {
    if (other === interception.service) continue;
    const found = (await nft.read(other))?.interception;
    const problem = found && crossing(interception, found, other);
    if (problem !== undefined)
      throw new InterceptError(`${problem}, or outrigger intercept remove --service ${other}`);
  }
}

/**
 * Finds conflicts with another service's rules: with two sidecars for one port, chance decides which gets the
 * connections.
 * @returns why both cannot be installed
 */
function crossing({ port, toPort }: Interception, found: Interception, other: string): string | undefined {
  if (found.port === port)
    return `port ${port} is taken for the service ${other} already: choose another one`;
  if (found.toPort === toPort)
    return `port ${toPort} is the sidecar's of the service ${other}, to which these clients would come: give OUTRIGGER_LISTEN another port`;
  // Clients of one service come to a port that the rules of the other close.
  if (found.toPort === port)
    return `port ${port} is the sidecar's of the service ${other}, whose clients would be refused: name the port of the service`;
  if (found.port === toPort)
    return `port ${toPort} is that of the service ${other}, and closed to all that come from outside: give OUTRIGGER_LISTEN another port`;
  return undefined;
}
