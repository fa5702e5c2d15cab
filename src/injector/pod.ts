// What the injector reads of a Pod (core/v1); all else passes as it is.
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
  livenessProbe: action.nullish(),
  readinessProbe: action.nullish(),
  startupProbe: action.nullish(),
  lifecycle: z.looseObject({ postStart: action.nullish(), preStop: action.nullish() }).nullish(),
});

const texts = z.record(z.string(), z.string());

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
  }),
});

export type Pod = z.output<typeof podSchema>;
export type Container = z.output<typeof container>;
export type Action = z.output<typeof action>;

/** Longer ones the API server refuses, once the webhooks have seen them. */
const maxName = 253;

/** For the log: the pods of a controller have no name yet. */
export function podName({ metadata: { name, generateName } }: Pod): string {
  return (
    name?.slice(0, maxName) ??
    (generateName === undefined ? "(no name)" : `${generateName.slice(0, maxName)}*`)
  );
}

export function annotationsOf({ metadata }: Pod): Readonly<Record<string, string>> {
  return metadata.annotations ?? {};
}

/** Those that run beside each other: the pod's own, and sidecars among the init containers. */
export function staying({ spec }: Pod): Container[] {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...spec.containers, ...sidecars];
}
