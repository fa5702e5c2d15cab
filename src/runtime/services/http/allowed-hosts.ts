// Decides which hosts a plugin's calls may go to, by `needs.hosts` of its definition.
import { isIP } from "node:net";

/** The declaration that allows a host. */
export interface AllowedHost {
  /** For metrics: the host as it was declared; `undefined` where any host is allowed. */
  readonly label: string | undefined;
  /** Whether the host may also have a private address. */
  readonly privateToo: boolean;
}

interface Pattern extends AllowedHost {
  /** Lower case. A leading dot stands for every name below it. */
  readonly host: string;
  /** undefined = the default port of the scheme. */
  readonly port: number | undefined;
}

const anyHost: AllowedHost = { label: undefined, privateToo: true };
const schemePorts: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

export class AllowedHosts {
  readonly #any: boolean;
  readonly #patterns: readonly Pattern[];

  /** @param declared `host`, `host:port`, `*.suffix`, `*.suffix:port`, `*` @throws Error for anything else */
  constructor(declared: readonly string[]) {
    this.#any = declared.includes("*");
    this.#patterns = declared.filter((text) => text !== "*").map(patternOf);
  }

  /** @returns the declaration that allows the URL; undefined = calls may not go there */
  of(url: URL): AllowedHost | undefined {
    if (this.#any) return anyHost;
    const host = url.hostname.replace(/\.$/, "");
    const schemePort = schemePorts[url.protocol];
    const port = url.port === "" ? schemePort : Number(url.port);
    const isAddress = isIP(host.replace(/^\[|\]$/g, "")) !== 0;
    return this.#patterns.find((pattern) => {
      if ((pattern.port ?? schemePort) !== port) return false;
      if (!pattern.host.startsWith(".")) return host === pattern.host;
      // An IP address is not a name: 10.0.0.1 is not below `.0.0.1`.
      return !isAddress && host.endsWith(pattern.host);
    });
  }
}

function patternOf(text: string): Pattern {
  const [, wild = "", host = "", port] =
    /^(\*(?=\.))?(\[[0-9a-f:.]+\]|\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const isGood = host !== "" && (wild !== "") === host.startsWith(".") && Number(port ?? 1) <= 65_535;
  if (!isGood)
    throw new Error(`needs.hosts: "${text}" is no host, host:port, *.suffix, *.suffix:port and not *`);
  return {
    label: text.toLowerCase(),
    privateToo: wild === "",
    host: host.toLowerCase(),
    port: port === undefined ? undefined : Number(port),
  };
}
