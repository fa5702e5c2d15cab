// The init containers that a pod gets: the sidecar, and before it, where the pod asks for it, the one that takes the service's port.
import { containerName, listenAddress, sidecarContainer, type SidecarSpec } from "./sidecar-container.ts";

const interceptName = "outrigger-intercept";
const names: ReadonlySet<string> = new Set([interceptName, containerName]);

/** Whether a container has a name of ours. */
export function isOwnContainer({ name }: { readonly name: string }): boolean {
  return names.has(name);
}

/** In their order, before all others of the pod. */
export function ownContainers(spec: SidecarSpec, interceptImage: string): Record<string, unknown>[] {
  const { wanted } = spec;
  return [
    ...(wanted.intercept === "true" ? [interceptContainer(spec, interceptImage)] : []),
    sidecarContainer(spec),
  ];
}

/** As `deploy/intercept/kubernetes.yaml` has it: with rights that are gone once it has ended. */
function interceptContainer(spec: SidecarSpec, image: string): Record<string, unknown> {
  const { service, upstreamPort } = spec;
  return {
    name: interceptName,
    image,
    imagePullPolicy: "IfNotPresent",
    args: ["install", "--node-address", "$(NODE_ADDRESS)"],
    env: [
      { name: "NODE_ADDRESS", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
      { name: "OUTRIGGER_SERVICE", value: service },
      { name: "OUTRIGGER_UPSTREAM", value: `http://127.0.0.1:${upstreamPort}` },
      { name: "OUTRIGGER_LISTEN", value: listenAddress(spec) },
    ],
    resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { memory: "128Mi" } },
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
}
