// A service that answers with the request it received, and a client that sends exact bytes and parses that answer.
import type { IncomingMessage, ServerResponse } from "node:http";
import { connectRaw, type RawAnswer } from "../support/raw-http.ts";

/** A request as the service received it; names in lower case, in order. */
export interface Shown {
  readonly method: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly trailers: readonly (readonly [string, string])[];
}

const pairs = (flat: readonly string[]): [string, string][] => {
  const list: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2)
    list.push([(flat[i] as string).toLowerCase(), flat[i + 1] as string]);
  return list;
};

/** Handler of the service: answers with the request. */
export function showing(request: IncomingMessage, response: ServerResponse): void {
  request.resume().once("end", () => {
    const shown = {
      method: request.method,
      fields: pairs(request.rawHeaders),
      trailers: pairs(request.rawTrailers),
    };
    response.end(JSON.stringify(shown));
  });
}

export async function sendRaw(port: number, bytes: string): Promise<RawAnswer> {
  const client = await connectRaw(port);
  try {
    client.send(bytes);
    return await client.answer();
  } finally {
    client.socket.destroy();
  }
}

/** Sends the bytes and parses the answer. Rejects if it is not a 200 of the service. */
export async function shownOf(port: number, bytes: string): Promise<Shown> {
  const { status, body } = await sendRaw(port, bytes);
  if (status !== 200) throw new Error(`answered ${status}: ${body}`);
  return JSON.parse(body) as Shown;
}

export function valueOf(fields: Shown["fields"], name: string): string | undefined {
  return fields.find(([each]) => each === name)?.[1];
}
