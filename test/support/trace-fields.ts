// Shows the trace fields that a service behind a sidecar receives.
import { once } from "node:events";
import type http from "node:http";
import { connect } from "node:net";

/** A service that answers with the fields it received; `/fail` is 500. */
export const echo: http.RequestListener = (request, response) => {
  response.statusCode = request.url === "/fail" ? 500 : 200;
  response.end(JSON.stringify(request.rawHeaders));
};

/**
 * Sends these fields as they are.
 * @returns the trace fields that the service received: name, value pairs, names in lower case
 */
export async function seenWith(port: number, ...lines: string[]): Promise<[string, string][]> {
  const socket = connect(port, "127.0.0.1");
  socket.write(["GET / HTTP/1.1", "Host: a.test", "Connection: close", ...lines, "", ""].join("\r\n"));
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  await once(socket, "close");
  const flat = JSON.parse(text.slice(text.indexOf("["), text.lastIndexOf("]") + 1)) as string[];
  const pairs = flat.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), flat[i + 1] ?? ""]] : []));
  return pairs.filter(([name = ""]) => /^(trace|baggage|b3)/.test(name)) as [string, string][];
}
