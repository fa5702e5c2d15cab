// Clients that send requests without a pause until a sidecar ends.
import http from "node:http";

export interface Hammered {
  readonly answered: number;
  /** Error codes of broken requests. */
  readonly failures: readonly string[];
}

/** Sends one request after the other until the connection is refused. */
async function askOn(url: string, agent: http.Agent): Promise<Hammered> {
  const failures: string[] = [];
  let answered = 0;
  for (;;) {
    const code = await new Promise<string | undefined>((resolve) => {
      http
        .get(url, { agent }, (answer) => answer.resume().once("close", () => resolve(undefined)))
        .once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "?"));
    });
    if (code === "ECONNREFUSED") return { answered, failures };
    if (code === undefined) answered += 1;
    else failures.push(code);
  }
}

/** @param clients number of clients that keep their connections, and of clients that open one for each request */
export async function hammer(url: string, clients: { kept: number; anew: number }): Promise<Hammered> {
  const kept = new http.Agent({ keepAlive: true });
  const anew = new http.Agent({ keepAlive: false });
  const agents = [
    ...Array.from({ length: clients.kept }, () => kept),
    ...Array.from({ length: clients.anew }, () => anew),
  ];
  const all = await Promise.all(agents.map((agent) => askOn(url, agent)));
  kept.destroy();
  anew.destroy();
  return {
    answered: all.reduce((sum, each) => sum + each.answered, 0),
    failures: all.flatMap((each) => each.failures),
  };
}
