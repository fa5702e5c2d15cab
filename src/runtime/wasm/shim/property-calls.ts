// Implements the ABI functions for properties: what a guest asks about the exchange beyond its fields. Numbers are 64
// bits, little-endian; flags are one byte; maps are laid out as pairs.
import type { HeaderMap } from "./header-map.ts";
import type { HostFunctions } from "./host-functions.ts";
import type { Memory } from "./memory.ts";
import type { Pairs } from "./pairs.ts";
import type { GuestState, StreamContext } from "./state.ts";

/** Limits of what a guest may set. */
export interface PropertyBounds {
  readonly entries: number;
  readonly bytes: number;
}

export class PropertyCalls {
  readonly #state: GuestState;
  readonly #memory: Memory;
  readonly #pairs: Pairs;
  readonly #bounds: PropertyBounds;

  constructor(state: GuestState, memory: Memory, pairs: Pairs, bounds: PropertyBounds) {
    this.#state = state;
    this.#memory = memory;
    this.#pairs = pairs;
    this.#bounds = bounds;
  }

  functions(): HostFunctions {
    return {
      proxy_get_property: (path, size, toValue, toSize) => {
        const parts = this.#path(path, size);
        if (parts === undefined) return 6;
        const value = this.#get(parts);
        return value === undefined ? 1 : this.#memory.give(value, toValue, toSize);
      },
      proxy_set_property: (path, size, value, valueSize) => {
        const parts = this.#path(path, size);
        const text = this.#memory.read(value, valueSize);
        if (parts === undefined || text === undefined) return 6;
        return this.#set(parts.join("."), text);
      },
    };
  }

  /** @returns the parts of the path; some guests put a zero byte after each part, others only between them */
  #path(path: number, size: number): string[] | undefined {
    const text = this.#memory.read(path, size);
    return text?.replace(/\0$/, "").split("\0");
  }

  #set(path: string, value: string): number {
    const { stream } = this.#state;
    if (stream === undefined || value.length + path.length > this.#bounds.bytes) return 1;
    stream.properties ??= new Map();
    if (!stream.properties.has(path) && stream.properties.size >= this.#bounds.entries) return 10;
    stream.properties.set(path, value);
    return 0;
  }

  #get(parts: readonly string[]): string | undefined {
    const path = parts.join(".");
    const { stream, facts } = this.#state;
    const own = stream?.properties?.get(path.replace(/^filter_state\.(wasm\.)?/, ""));
    if (own !== undefined) return own;
    if (path === "plugin_root_id") return this.#state.roots.get(this.#state.root)?.name;
    if (Object.hasOwn(facts.properties, path)) return facts.properties[path];
    if (stream === undefined) return undefined;
    const [kind, name = "", ...rest] = parts;
    const member = rest.join(".");
    if (kind === "request") return this.#request(stream, name, member);
    if (kind === "response") return this.#response(stream, name, member);
    return this.#connection(stream, path);
  }

  #request(stream: StreamContext, name: string, member: string): string | undefined {
    const [fields, trailers] = stream.maps;
    const path = fields?.get(":path") ?? "";
    const info = stream.info.split("\0");
    switch (name) {
      case "path":
        return path;
      case "url_path":
        return path.replace(/\?.*$/s, "");
      case "query":
        return path.replace(/^[^?]*\??/s, "");
      case "host":
        return fields?.get(":authority");
      case "method":
      case "scheme":
        return fields?.get(`:${name}`);
      case "headers":
        return this.#fields(fields, member);
      case "trailers":
        return this.#fields(trailers, member);
      case "referer":
        return fields?.get(name);
      case "useragent":
        return fields?.get("user-agent");
      case "id":
        return info[0];
      case "protocol":
        return info[3];
      case "time":
        return this.#integer(BigInt(info[4] ?? 0) * 1_000_000n);
      case "duration":
        return info[11] === undefined ? undefined : this.#integer(BigInt(info[11]) * 1_000_000n);
      case "size":
      case "total_size":
        return info[12] === undefined ? undefined : this.#integer(BigInt(info[12]));
      default:
        return undefined;
    }
  }

  #response(stream: StreamContext, name: string, member: string): string | undefined {
    const [, , fields, trailers] = stream.maps;
    const info = stream.info.split("\0");
    const status = info[10] ?? fields?.get(":status");
    switch (name) {
      case "code":
        return status === undefined ? undefined : this.#integer(BigInt(status));
      case "code_details":
        return info[14] === "" ? undefined : info[14];
      case "headers":
        return this.#fields(fields, member);
      case "trailers":
        return this.#fields(trailers, member);
      case "size":
      case "total_size":
        return info[13] === undefined ? undefined : this.#integer(BigInt(info[13]));
      case "flags":
        return this.#integer(0n);
      case "grpc_status": {
        const grpc = trailers?.get("grpc-status") ?? fields?.get("grpc-status");
        return grpc !== undefined && /^\d{1,3}$/.test(grpc) ? this.#integer(BigInt(grpc)) : undefined;
      }
      default:
        return undefined;
    }
  }

  // Order of `info`: id, client, peer, protocol, start in milliseconds, route, upstream, mutual TLS, local address,
  // local port; at the end status, duration in milliseconds, bytes of request and response, details of the answer.
  #connection(stream: StreamContext, path: string): string | undefined {
    const info = stream.info.split("\0");
    const port = /:(\d+)$/.exec(info[6] ?? "")?.[1];
    switch (path) {
      case "source.address":
        return info[1];
      case "connection.peer_address":
        return info[2];
      case "connection.mtls":
        return info[7] === "1" ? "\x01" : "\0";
      case "destination.address":
        return info[8] === "" ? undefined : info[8];
      case "destination.port":
        return info[9] === "" ? undefined : this.#integer(BigInt(info[9] ?? 0));
      case "upstream.address":
      case "cluster_name":
      case "xds.cluster_name":
        return info[6];
      case "upstream.port":
        return port === undefined ? undefined : this.#integer(BigInt(port));
      case "route_name":
      case "xds.route_name":
        return info[5];
      default:
        return undefined;
    }
  }

  #fields(fields: HeaderMap | undefined, member: string): string | undefined {
    if (fields === undefined) return undefined;
    if (member !== "") return fields.get(member.toLowerCase().replaceAll("_", "-"));
    return this.#pairs.encode(fields.flat());
  }

  #integer(value: bigint): string {
    let bytes = "";
    for (let shift = 0n; shift < 64n; shift += 8n) {
      bytes += String.fromCharCode(Number((value >> shift) & 255n));
    }
    return bytes;
  }
}
