// Refuses the HTTP calls of one plugin while a drill simulates an issuer that is down.
import { HttpError, type HttpAnswer, type HttpClient, type HttpRequest } from "../plugin-api/http.ts";
import type { Drill } from "./drill.ts";

/** The plugin whose calls go to issuers. */
const asksIssuers = "auth";

/** @param client the plugin's own client, which is changed */
export function withoutIssuer<Client extends HttpClient>(
  plugin: string | undefined,
  client: Client,
  drill: Drill,
): Client {
  if (plugin !== asksIssuers) return client;
  const request = client.request.bind(client);
  client.request = async (options: HttpRequest): Promise<HttpAnswer> => {
    if (drill.fault?.kind !== "issuer-down") return await request(options);
    throw new HttpError(new URL(options.url).host, "connection", "drill: issuer-down");
  };
  return client;
}
