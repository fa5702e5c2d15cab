// Decides whether a Kubernetes container is on its node's network, where rules would affect a port of the whole node.
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Interfaces that network plugins and kube-proxy create on nodes, but in no pod. */
const ofNodes =
  /^(cni\d|docker\d|kube-|nodelocaldns|cilium_|flannel|vxlan\.calico|cali[0-9a-f]|ovn-k8s-|antrea-|weave)/;

export interface Surroundings {
  /** Whether this process runs under Kubernetes. */
  readonly inKubernetes: boolean;
  /** Names of the network's interfaces. */
  readonly interfaces: readonly string[];
  /** Addresses of the network's interfaces. */
  readonly addresses: readonly string[];
  /** The node's address, from the pod's manifest (status.hostIP). */
  readonly nodeAddress: string | undefined;
  readonly isBridge?: (name: string) => boolean;
}

/** @returns the evidence for the node's network; undefined = none */
export function hostNetworkSign(here: Surroundings): string | undefined {
  const { inKubernetes, interfaces, addresses, nodeAddress, isBridge = bridge } = here;
  if (nodeAddress !== undefined && addresses.includes(nodeAddress))
    return `${nodeAddress} is the node's address, and this network's`;
  if (!inKubernetes) return undefined;
  const sign = interfaces.find((name) => ofNodes.test(name) || isBridge(name));
  return sign === undefined ? undefined : `it has the interface ${sign}`;
}

const bridge = (name: string): boolean => existsSync(join("/sys/class/net", name, "bridge"));
