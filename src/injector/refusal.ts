// The error that says why a pod gets no sidecar.

/** Label values of the metric: a closed set. */
export const refusalReasons = [
  "annotation",
  "host_network",
  "second_sidecar",
  "port_clash",
  "port_unknown",
  "service_unknown",
  "windows",
  "malformed",
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/** The message goes into a log, an event and an annotation, and may quote parts of a pod that nothing has checked. */
const maxMessage = 500;

/** The message is one sentence: what is wrong and what to do. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super(message.length > maxMessage ? `${message.slice(0, maxMessage - 1)}…` : message);
    this.reason = reason;
  }
}
