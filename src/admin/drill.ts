// `/drill`: makes the sidecar behave for a while as if something had failed.
import type { IncomingMessage } from "node:http";
import { AdminProblem, type Answer, jsonAnswer } from "./answer.ts";

export interface DrillSource {
  /** The drill in progress, and the result of the last one. */
  status(): object;
  /** Starts a drill. Rejects with AdminProblem. */
  begin(query: URLSearchParams, peer: string): Promise<object>;
  /** Ends the drill in progress early. */
  end(): void;
}

type Handler = (request: IncomingMessage, query: URLSearchParams) => Answer | Promise<Answer>;

/** @param source undefined = this sidecar takes part in no drills */
export function drillMethods(source: DrillSource | undefined): Record<string, Handler> {
  const drills = (): DrillSource => {
    if (source !== undefined) return source;
    throw new AdminProblem(403, "Refused, for OUTRIGGER_DRILLS is not on here.");
  };
  return {
    GET: () => jsonAnswer(200, drills().status()),
    POST: async (request, query) =>
      jsonAnswer(202, await drills().begin(query, request.socket.remoteAddress ?? "unix")),
    DELETE() {
      drills().end();
      return jsonAnswer(202, drills().status());
    },
  };
}
