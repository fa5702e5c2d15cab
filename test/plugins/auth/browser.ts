// As much of a browser as a login needs: cookies by origin, redirects, and requests into the plugin or over HTTP.
import type { Fields } from "../../../src/plugin-api/contract.ts";
import type { Ask } from "./harness.ts";

/** What answers at the application's origin: the plugin alone, or a sidecar. */
export interface Site<Answer extends Page> {
  ask(ask: Ask): Promise<Answer>;
}
interface Page {
  readonly status: number;
  readonly answerFields: Fields;
}

export class Browser {
  readonly #jars = new Map<string, Map<string, string>>();
  readonly #app: string;

  /** @param app origin that the plugin stands for */
  constructor(app: string) {
    this.#app = app;
  }

  cookies(origin = this.#app): Map<string, string> {
    const jar = this.#jars.get(origin) ?? new Map<string, string>();
    this.#jars.set(origin, jar);
    return jar;
  }

  #keep(origin: string, lines: readonly string[]): void {
    for (const line of lines) {
      const [pair = "", ...attributes] = line.split("; ");
      const name = pair.slice(0, pair.indexOf("="));
      if (attributes.includes("Max-Age=0") || /expires=Thu, 01 Jan 1970/i.test(line))
        this.cookies(origin).delete(name);
      else this.cookies(origin).set(name, pair.slice(pair.indexOf("=") + 1));
    }
  }

  /** One page of the application, as a navigation unless `fields` say otherwise. */
  async visit<Answer extends Page>(
    route: Site<Answer>,
    address: string,
    fields: readonly string[] = ["Sec-Fetch-Mode", "navigate"],
    method = "GET",
  ): Promise<Answer> {
    const url = new URL(address, this.#app);
    // Those of logins under way belong to the callback's path, whatever it is here.
    const sent = [...this.cookies()].filter(
      ([name]) => !name.includes(".flow.") || url.pathname.endsWith("/callback"),
    );
    const cookie = sent.map((pair) => pair.join("=")).join("; ");
    const answer = await route.ask({
      method,
      path: url.pathname,
      query: url.search,
      fields: [...fields, ...(cookie === "" ? [] : ["Cookie", cookie])],
    });
    this.#keep(this.#app, answer.answerFields.getAll("set-cookie"));
    return answer;
  }

  /** One page of somebody else's. @returns where it sends the browser */
  async leave(url: URL): Promise<string> {
    const cookie = [...this.cookies(url.origin)].map((pair) => pair.join("=")).join("; ");
    const response = await fetch(url, { redirect: "manual", headers: { cookie } });
    this.#keep(url.origin, response.headers.getSetCookie());
    const location = response.headers.get("location");
    if (location === null)
      throw new Error(`${url.pathname} answered ${response.status}: ${await response.text()}`);
    return new URL(location, url).href;
  }

  /** Follows redirects from here to there and back, until the application gives a page or refuses. */
  async follow<Answer extends Page>(route: Site<Answer>, address: string): Promise<Answer> {
    let next = address;
    for (let hops = 0; hops < 15; hops += 1) {
      const url = new URL(next, this.#app);
      if (url.origin === this.#app) {
        const answer = await this.visit(route, url.href);
        if (answer.status !== 302) return answer;
        next = answer.answerFields.get("location") ?? "";
        continue;
      }
      next = await this.leave(url);
    }
    throw new Error("redirected in circles");
  }
}
