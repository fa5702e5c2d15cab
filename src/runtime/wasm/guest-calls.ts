// Makes the calls of guests: to the upstreams that the policy names, and to hosts that the manifest asks for.
import { type HttpClient, QuotaExceeded } from "../../plugin-api/services.ts";

/** The result of a guest's call, in the form that the guest gets it. */
export interface CallAnswer {
  /** status, message, then name, value, …; no field = the call failed. */
  readonly text: string;
  readonly body: string;
}

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
const defaultTimeoutMs = 5_000;
const maxTimeoutMs = 30_000;
const maxBodyBytes = 1_048_576;
/** 9 is the ABI's status for a connection that broke. */
export const brokenCall: CallAnswer = { text: "9\0reset", body: "" };

/** 10 is the ABI's status for a failure of the host; the message says which quota was exceeded. */
const refusedCall = ({ message }: QuotaExceeded): CallAnswer => ({ text: `10\0${message}`, body: "" });

export class GuestCalls {
  readonly #http: HttpClient;
  readonly #clusters: Readonly<Record<string, string>>;

  constructor(http: HttpClient, clusters: Readonly<Record<string, string>>) {
    this.#http = http;
    this.#clusters = clusters;
  }

  /** Never rejects. @param flat name, value, … with pseudo-fields */
  async send(
    upstream: string,
    flat: readonly string[],
    body: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<CallAnswer> {
    try {
      const pseudo = new Map<string, string>();
      const fields: Record<string, string> = {};
      for (let i = 0; i + 1 < flat.length; i += 2) {
        const name = (flat[i] as string).toLowerCase();
        const value = flat[i + 1] as string;
        if (name.startsWith(":")) pseudo.set(name, value);
        else if (!isOfConnection(name)) {
          const before = fields[name];
          fields[name] = before === undefined ? value : `${before}, ${value}`;
        }
      }
      const method = methods.find((each) => each === pseudo.get(":method"));
      if (method === undefined) throw new Error("that is no method of calls");
      const answer = await this.#http.request({
        url: this.#urlOf(upstream, pseudo.get(":path") ?? "/"),
        method,
        fields,
        ...(body === "" ? {} : { body: Buffer.from(body, "latin1") }),
        // No retries: a guest that wants another try makes another call.
        retries: 0,
        timeoutMs: Math.min(timeoutMs > 0 ? timeoutMs : defaultTimeoutMs, maxTimeoutMs),
        maxBodyBytes,
        signal,
      });
      let text = `${answer.status}\0\0:status\0${answer.status}`;
      for (const [name, value] of answer.fields) text += `\0${name}\0${value}`;
      return { text, body: answer.body.toString("latin1") };
    } catch (error) {
      return error instanceof QuotaExceeded ? refusedCall(error) : brokenCall;
    }
  }

  #urlOf(upstream: string, path: string): string {
    const base = Object.hasOwn(this.#clusters, upstream) ? this.#clusters[upstream] : undefined;
    const url = `${(base ?? `http://${hostOf(upstream)}`).replace(/\/$/, "")}${path}`;
    // A path such as `@elsewhere` would change the host of the URL.
    if (!path.startsWith("/")) throw new Error("the path of a call must begin with /");
    return url;
  }
}

/** @returns the host of a cluster named as in Istio: direction|port|subset|host; other names stay as they are */
function hostOf(upstream: string): string {
  const parts = upstream.split("|");
  return parts.length === 4 ? `${parts[3]}:${parts[1]}` : upstream;
}

function isOfConnection(name: string): boolean {
  return /^(host|connection|keep-alive|content-length|transfer-encoding|te|trailer|upgrade|expect|proxy-.*)$/.test(
    name,
  );
}
