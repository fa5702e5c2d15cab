// Decides which secret may go to which hosts. The environment says so: no policy can send a secret elsewhere.
import { FormatError, isAmong, parseHostPatterns, type HostPattern } from "./formats.ts";
import type { Secrets } from "../plugin-api/services.ts";

export type SecretHosts = Readonly<Record<string, readonly HostPattern[]>>;

/** `SECRET_IDP=id.example:443,*.login.example:443;SECRET_B=…` */
export function parseSecretHosts(text: string): SecretHosts {
  const bound: Record<string, readonly HostPattern[]> = {};
  for (const part of text.split(";").map((member) => member.trim())) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(0, equals)).trim();
    // The sidecar's own secrets have no such name, so they can never be sent.
    if (!/^SECRET_[A-Z0-9_]+$/.test(name))
      throw new FormatError("must hold SECRET_NAME=host:port,host:port, separated by semicolons");
    if (Object.hasOwn(bound, name)) throw new FormatError(`names ${name} twice`);
    bound[name] = parseHostPatterns(part.slice(equals + 1).trim());
  }
  return bound;
}

export function createSecrets(values: Readonly<Record<string, string>>, hosts: SecretHosts): Secrets {
  return {
    get: (name) => values[name],
    sentTo(name, url) {
      const value = values[name];
      if (value === undefined) throw new Error(`OUTRIGGER_${name} is not set`);
      const { hostname, port, protocol } = new URL(url);
      const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
      const portNumber = port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
      const patterns = Object.hasOwn(hosts, name) ? (hosts[name] ?? []) : [];
      if (isAmong({ host, port: portNumber }, patterns)) return value;
      const place = `${hostname}:${portNumber}`;
      throw new Error(
        `${name} may not be sent to ${place}: OUTRIGGER_SECRET_HOSTS would have to say ${name}=${place}`,
      );
    },
  };
}
