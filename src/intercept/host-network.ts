// Whether a container of Kubernetes is on its node's own network, where rules would take the port of every pod's node.
import { existsSync } from "node:fs";
import { join } from "node:path";

/** What network plugins and kube-proxy make on nodes, and in no pod. */
const ofNodes =
  /^(cni\d|docker\d|kube-|nodelocaldns|cilium_|flannel|vxlan\.calico|cali[0-9a-f]|ovn-k8s-|antrea-|weave)/;

export interface Surroundings {
  /** Whether Kubernetes started this. */
  readonly inKubernetes: boolean;
  /** Names of the network's interfaces. */
  readonly interfaces: readonly string[];
  /** Addresses of the network's interfaces. */
  readonly addresses: readonly string[];
  /** The node's, as the pod's manifest passes it (status.hostIP). */
  readonly nodeAddress: string | undefined;
  readonly isBridge?: (name: string) => boolean;
}

/** @returns what says so; undefined = nothing does */
export function hostNetworkSign(here: Surroundings): string | undefined {
  const { inKubernetes, interfaces, addresses, nodeAddress, isBridge = bridge } = here;
  if (nodeAddress !== undefined && addresses.includes(nodeAddress))
    return `${nodeAddress} is the node's address, and this network's`;
  if (!inKubernetes) return undefined;
  const sign = interfaces.find((name) => ofNodes.test(name) || isBridge(name));
  return sign === undefined ? undefined : `it has the interface ${sign}`;
}

const bridge = (name: string): boolean => existsSync(join("/sys/class/net", name, "bridge"));
