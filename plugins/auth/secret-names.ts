// Lists the request fields and query parameters that carry credentials by auth's options, so that no log shows them.

/** @param options as written in a policy, not validated yet */
export function secretNames(options: unknown): string[] {
  const { apiKeys, jwt } = Object(options) as { apiKeys?: unknown; jwt?: unknown };
  const { headers, query } = Object(apiKeys) as { headers?: unknown; query?: unknown };
  const { from } = Object(jwt) as { from?: unknown };
  const sources = texts(from).flatMap((source) => {
    if (source.startsWith("subprotocol:")) return ["sec-websocket-protocol"];
    return source.startsWith("query:") ? [source.slice("query:".length)] : [];
  });
  return [...texts(headers), ...texts(query), ...sources];
}

function texts(list: unknown): string[] {
  return Array.isArray(list) ? list.filter((each) => typeof each === "string") : [];
}
