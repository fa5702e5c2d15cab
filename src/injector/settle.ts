// Derives the sidecar of a pod from the pod and its annotations, or throws the reason why it gets none.
import { isOwnContainer } from "./containers.ts";
import { nearestName } from "../language/nearest.ts";
import { annotationPrefix, type Wanted, wrong } from "./annotations.ts";
import { repositoryOf } from "./image.ts";
import { type Container, isOfWindows, type Pod, staying } from "./pod.ts";
import { bytesOf, milliCpus } from "./quantity.ts";
import { Refusal } from "./refusal.ts";
import {
  adminPortName,
  containerName,
  type Defaults,
  defaultResources,
  isOwnVolume,
  type SidecarSpec,
} from "./sidecar-container.ts";

const defaultListenPort = 8080;
const defaultAdminPort = 9901;
const defaultUpstreamPort = 3000;
const optOut = `annotate ${annotationPrefix}inject: "false"`;

/** Decisions of the fleet's operator. */
export interface SettleOptions {
  readonly defaults: Defaults;
  /** Names of the built-in plugins. */
  readonly plugins: readonly string[];
}

/** The service's port and its name as an earlier injection found them; that injection removed the name. */
export interface KnownPort {
  readonly upstreamPort: number | undefined;
  readonly portName: string | undefined;
}

/**
 * @param pod without the injector's sidecar
 * @throws Refusal
 */
export function settle(
  pod: Pod,
  wanted: Wanted,
  { defaults, plugins }: SettleOptions,
  known?: KnownPort,
): SidecarSpec {
  const image = wanted.image ?? defaults.image;
  refusePod(pod, [repositoryOf(image), repositoryOf(defaults.image), ...defaults.allowedImages]);
  checkPlugins(wanted, plugins);
  checkResources(wanted);
  checkVolume(pod, wanted);
  const upstreamPort = wanted["upstream-port"] ?? known?.upstreamPort ?? upstreamPortOf(pod);
  const ports = {
    upstreamPort,
    listenPort: wanted["listen-port"] ?? defaultListenPort,
    adminPort: wanted["admin-port"] ?? defaultAdminPort,
  };
  checkPorts(pod, ports);
  checkPortNames(pod, upstreamPort);
  return {
    wanted,
    ...ports,
    service: serviceOf(pod, wanted),
    portName: known?.portName ?? namedPort(pod, upstreamPort) ?? containerName,
    image,
    redisSecret: redisSecretOf(wanted, defaults),
  };
}

function refusePod(pod: Pod, sidecarImages: readonly string[]): void {
  const { spec } = pod;
  if (spec.hostNetwork === true)
    throw new Refusal(
      "host_network",
      `the pod is on its node's network (hostNetwork), whose ports a sidecar would share: leave hostNetwork out, or ${optOut}`,
    );
  if (isOfWindows(pod))
    throw new Refusal("windows", `the pod is one of Windows, for which there is no sidecar: ${optOut}`);
  const second = [...spec.containers, ...(spec.initContainers ?? [])].find(isOwnContainer);
  const other = staying(pod).find(({ image = "" }) => sidecarImages.includes(repositoryOf(image)));
  const found = second ?? other;
  if (found !== undefined)
    throw new Refusal(
      "second_sidecar",
      `the pod brings a sidecar of its own (container ${found.name}), and two would fight for its ports: remove it, or ${optOut}`,
    );
  refuseVolumes(pod);
}

/** A container that mounts the sidecar's volumes could read its secrets or change its state. */
function refuseVolumes({ spec }: Pod): void {
  for (const { name, volumeMounts } of [...spec.containers, ...(spec.initContainers ?? [])]) {
    const mount = volumeMounts?.find(isOwnVolume);
    if (mount !== undefined)
      throw new Refusal(
        "second_sidecar",
        `container ${name} mounts ${mount.name}, which is the sidecar's volume: remove the mount`,
      );
  }
  const volume = (spec.volumes ?? []).find(isOwnVolume);
  if (volume !== undefined)
    throw new Refusal(
      "second_sidecar",
      `the pod's volume ${volume.name} has a name of the sidecar's: rename it`,
    );
}

function checkPlugins({ plugins = [] }: Wanted, known: readonly string[]): void {
  const unknown = plugins.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const near = nearestName(unknown, known);
    const hint = near === undefined ? `there are ${known.join(", ")}` : `did you mean ${near}?`;
    throw wrong(
      "plugins",
      `names ${JSON.stringify(unknown.slice(0, 60))}, which is no built-in plugin: ${hint}`,
    );
  }
  if (new Set(plugins).size < plugins.length) throw wrong("plugins", "names a plugin twice: remove one");
}

function checkResources(wanted: Wanted): void {
  for (const [what, amount] of [
    ["cpu", milliCpus],
    ["memory", bytesOf],
  ] as const) {
    const [request, limit] = (["request", "limit"] as const).map(
      (part) => wanted[`${what}-${part}`] ?? defaultResources[`${what}-${part}`],
    ) as [string, string];
    if (amount(request) > amount(limit))
      throw wrong(`${what}-request`, `(${request}) must not be above ${what}-limit (${limit})`);
  }
}

function checkVolume({ spec }: Pod, wanted: Wanted): void {
  const name = wanted["plugin-volume"];
  if (name !== undefined && !(spec.volumes ?? []).some((volume) => volume.name === name))
    throw wrong("plugin-volume", `names the volume ${name}, which the pod does not have: add it`);
}

interface Ports {
  readonly upstreamPort: number;
  readonly listenPort: number;
  readonly adminPort: number;
}

const clash = (message: string): Refusal => new Refusal("port_clash", message);

function checkPorts(pod: Pod, { upstreamPort, listenPort, adminPort }: Ports): void {
  if (listenPort === adminPort)
    throw clash(
      `clients and health checks would share port ${listenPort}: give ${annotationPrefix}listen-port and admin-port different numbers`,
    );
  for (const [port, name] of [
    [listenPort, "listen-port"],
    [adminPort, "admin-port"],
  ] as const) {
    const choose = `move it to another port, or choose another one by annotation ${annotationPrefix}${name}`;
    if (upstreamPort === port)
      throw clash(`the service is on port ${port}, which the sidecar listens on: ${choose}`);
    const taken = staying(pod).find(({ ports }) => ports?.some((each) => isTcp(each, port)));
    if (taken !== undefined)
      throw clash(`container ${taken.name} has port ${port}, which the sidecar listens on: ${choose}`);
  }
}

/** Services that refer to such a port by name would reach the wrong one. */
function checkPortNames(pod: Pod, upstreamPort: number): void {
  const names = new Set(
    pod.spec.containers
      .flatMap(({ ports }) => ports ?? [])
      .flatMap((port) => (isTcp(port, upstreamPort) && port.name !== undefined ? [port.name] : [])),
  );
  if (names.size > 1)
    throw clash(
      `port ${upstreamPort} has several names (${[...names].slice(0, 5).join(", ")}), and the sidecar takes one of them: Services that go by another would lead past it; leave one name`,
    );
  for (const container of staying(pod))
    for (const port of container.ports ?? []) {
      const isOwn = port.name === containerName && !isTcp(port, upstreamPort);
      if (isOwn || port.name === adminPortName)
        throw clash(
          `port ${port.containerPort} of container ${container.name} is called ${port.name}, as one of the sidecar's is: rename it`,
        );
    }
}

type DeclaredPort = NonNullable<Container["ports"]>[number];

function isTcp({ containerPort, protocol = "TCP" }: DeclaredPort, port: number): boolean {
  return protocol === "TCP" && containerPort === port;
}

/** @throws Refusal when it is unclear: a wrong port would leave the service reachable only past the sidecar */
function upstreamPortOf(pod: Pod): number {
  const declared = pod.spec.containers
    .flatMap(({ ports }) => ports ?? [])
    .filter(({ protocol = "TCP" }) => protocol === "TCP");
  const [first] = declared;
  if (first !== undefined && declared.length === 1) return first.containerPort;
  const named = declared.filter(({ name }) => name === "http");
  if (named.length === 1) return (named[0] as DeclaredPort).containerPort;
  // A pod that ends (a Job's) usually serves nobody and only calls others.
  const ends = (pod.spec.restartPolicy ?? "Always") !== "Always";
  if (first === undefined && ends) return defaultUpstreamPort;
  const found =
    first === undefined
      ? "declare no TCP port"
      : "declare several TCP ports, and not one of them alone is named http";
  throw new Refusal(
    "port_unknown",
    `the pod's containers ${found}: say where the service listens by annotation ${annotationPrefix}upstream-port`,
  );
}

/** The name by which Services refer to the service's port. */
function namedPort({ spec }: Pod, upstreamPort: number): string | undefined {
  const ports = spec.containers.flatMap(({ ports }) => ports ?? []);
  return ports.find((port) => isTcp(port, upstreamPort) && port.name !== undefined)?.name;
}

function serviceOf({ metadata }: Pod, wanted: Wanted): string {
  const labels = metadata.labels ?? {};
  const found = wanted.service ?? labels["app.kubernetes.io/name"] ?? labels["app"];
  if (found !== undefined && /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(found)) return found;
  throw new Refusal(
    "service_unknown",
    `the pod has no label app.kubernetes.io/name or app, which its policy is found by: say the service by annotation ${annotationPrefix}service`,
  );
}

function redisSecretOf(wanted: Wanted, defaults: Defaults): string | undefined {
  const name = wanted["redis-secret"] ?? defaults.redisSecret;
  if (name !== "none") return name;
  if (wanted.plugins === undefined && wanted["policy-config-map"] === undefined)
    throw wrong(
      "redis-secret",
      `is none, which leaves the sidecar without a policy: add ${annotationPrefix}plugins or ${annotationPrefix}policy-config-map`,
    );
  return undefined;
}
