// The parts of a Pod (core/v1) that the injector reads; everything else passes unchanged.
import { z } from "zod";

const port = z.looseObject({
  name: z.string().optional(),
  containerPort: z.int(),
  protocol: z.string().optional(),
});

const portOfProbe = z.union([z.int(), z.string()]);
const action = z.looseObject({
  httpGet: z.looseObject({ port: portOfProbe }).nullish(),
  tcpSocket: z.looseObject({ port: portOfProbe }).nullish(),
});

const container = z.looseObject({
  name: z.string(),
  image: z.string().optional(),
  restartPolicy: z.string().optional(),
  ports: z.array(port).nullish(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })).nullish(),
  volumeMounts: z.array(z.looseObject({ name: z.string() })).nullish(),
  livenessProbe: action.nullish(),
  readinessProbe: action.nullish(),
  startupProbe: action.nullish(),
  lifecycle: z.looseObject({ postStart: action.nullish(), preStop: action.nullish() }).nullish(),
});

const texts = z.record(z.string(), z.string());

/** A term of node affinity: the nodes that the pod may run on. */
const term = z.looseObject({
  matchExpressions: z
    .array(z.looseObject({ key: z.string(), operator: z.string(), values: z.array(z.string()).nullish() }))
    .nullish(),
});
const affinity = z.looseObject({
  nodeAffinity: z
    .looseObject({
      requiredDuringSchedulingIgnoredDuringExecution: z
        .looseObject({ nodeSelectorTerms: z.array(term).nullish() })
        .nullish(),
    })
    .nullish(),
});

export const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string().optional(),
    generateName: z.string().optional(),
    annotations: texts.nullish(),
    labels: texts.nullish(),
  }),
  spec: z.looseObject({
    containers: z.array(container).min(1),
    initContainers: z.array(container).nullish(),
    volumes: z.array(z.looseObject({ name: z.string() })).nullish(),
    hostNetwork: z.boolean().optional(),
    shareProcessNamespace: z.boolean().optional(),
    restartPolicy: z.string().optional(),
    os: z.looseObject({ name: z.string() }).nullish(),
    nodeSelector: texts.nullish(),
    affinity: affinity.nullish(),
    securityContext: z.looseObject({ windowsOptions: z.unknown().optional() }).nullish(),
  }),
});

export type Pod = z.output<typeof podSchema>;
export type Container = z.output<typeof container>;
export type Action = z.output<typeof action>;

/** The API server refuses longer names, but only after the webhooks have run. */
const maxName = 253;

/** The name for the log. Pods of a controller have only the beginning of one yet. */
export function podName({ metadata: { name, generateName } }: Pod): string {
  return (
    name?.slice(0, maxName) ??
    (generateName === undefined ? "(no name)" : `${generateName.slice(0, maxName)}*`)
  );
}

const osKeys: readonly string[] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/** Whether the pod can only run on Windows nodes. */
export function isOfWindows({ spec }: Pod): boolean {
  if (spec.os?.name === "windows" || (spec.securityContext?.windowsOptions ?? null) !== null) return true;
  if (osKeys.some((key) => spec.nodeSelector?.[key] === "windows")) return true;
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  return (
    terms.length > 0 &&
    terms.every(({ matchExpressions }) =>
      matchExpressions?.some(
        ({ key, operator, values }) =>
          osKeys.includes(key) && operator === "In" && values?.every((value) => value === "windows"),
      ),
    )
  );
}

export function annotationsOf({ metadata }: Pod): Readonly<Record<string, string>> {
  return metadata.annotations ?? {};
}

/** Containers that run at the same time: the main ones, and sidecars among the init containers. */
export function staying({ spec }: Pod): Container[] {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...spec.containers, ...sidecars];
}
