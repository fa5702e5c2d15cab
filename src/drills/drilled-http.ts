// The calls of one plugin, refused while a drill says that nobody is there.
import { HttpError, type HttpAnswer, type HttpClient, type HttpRequest } from "../plugin-api/http.ts";
import type { Drill } from "./drill.ts";

/** Whose calls go to issuers. */
const asksIssuers = "auth";

/** @param client of this plugin */
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
