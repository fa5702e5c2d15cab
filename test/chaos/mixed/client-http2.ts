// Clients of HTTP/2 and gRPC: all share one connection, which now and then is replaced while it is in use.
import http2 from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import type { Dice } from "./dice.ts";
import { type Run, settles } from "./ledger.ts";
import { methods, pathOf } from "./requests.ts";

const behaviours = ["ok", "ok", "rst", "stall", "midrst", "early"] as const;
const grpcBehaviours = ["grpc", "trailersonly", "grpc", "rst", "stall"] as const;
const ways = ["full", "full", "full", "rst", "rstlater", "slow"] as const;
const cancel = 8;

export class Http2Clients {
  readonly #run: Run;
  readonly #url: string;
  #session: http2.ClientHttp2Session | undefined;

  constructor(run: Run, port: number) {
    this.#run = run;
    this.#url = `http://127.0.0.1:${port}`;
  }

  async request(dice: Dice, id: string): Promise<void> {
    const session = this.#sessionFor(dice);
    const isGrpc = dice.oneIn(3);
    const fields = fieldsOf(dice, isGrpc, id);
    const way = dice.pick(ways);
    const size = dice.pick([0, 100, 70_000]);
    const hasBody = isGrpc || fields[":method"] === "POST" || fields[":method"] === "PUT";
    const why = `HTTP/2 ${way} ${String(fields[":method"])} ${String(fields[":path"])} ${id}`;
    this.#run.ledger.asked.set(id, why);
    const stream = requestOn(session, fields, !hasBody);
    if (stream === undefined) {
      await delay(5);
      return;
    }
    stream.on("error", () => {});
    const closed = new Promise((resolve) => stream.once("close", resolve));
    this.#check(stream, id, why);
    if (hasBody) {
      stream.write(isGrpc ? Buffer.from([0, 0, 0, 0, 2, 65, 66]) : `${id}|${"b".repeat(size)}`);
      if (way === "slow") await delay(dice.below(300));
      if (way !== "rst") stream.end();
    }
    if (way.startsWith("rst")) {
      await delay(dice.below(way === "rst" ? 10 : 80));
      stream.close(cancel);
    }
    if (!(await settles(closed))) {
      this.#run.ledger.fault("an HTTP/2 client is stuck", why);
      stream.close(cancel);
    }
  }

  close(): void {
    this.#session?.destroy();
  }

  #sessionFor(dice: Dice): http2.ClientHttp2Session {
    const [replaces, inOrder] = [dice.oneIn(200), dice.oneIn(2)];
    const old = this.#session;
    if (old !== undefined && !old.destroyed && !old.closed && !replaces) return old;
    this.#session = http2.connect(this.#url);
    this.#session.on("error", () => {});
    if (inOrder) old?.close();
    else old?.destroy();
    return this.#session;
  }

  #check(stream: http2.ClientHttp2Stream, id: string, why: string): void {
    const { ledger } = this.#run;
    let rid: string | undefined;
    let body = "";
    stream.on("response", (head) => {
      rid = head["x-rid"] as string | undefined;
      ledger.answered.set(id, Number(head[":status"]));
      const isStored = /^(?:HIT|STALE)/.test(String(head["x-cache"]));
      const told = `${why}: ${JSON.stringify(head)}`;
      if (rid !== undefined && rid !== id && !isStored) ledger.fault("an answer is another's", told);
      if (head["x-request-id"] !== id) ledger.fault("an answer has another's id", told);
    });
    stream.on("data", (bytes: Buffer) => (body += bytes.toString("latin1")));
    stream.on("close", () => {
      if (rid === undefined || !body.includes("|")) return;
      if (!body.startsWith(`${rid}|`) || !/^[^|]+\|x*$/.test(body)) {
        ledger.fault("an answer has another's body", `${why}: ${body.slice(0, 100)}`);
      }
    });
  }
}

function fieldsOf(dice: Dice, isGrpc: boolean, id: string): http2.OutgoingHttpHeaders {
  const base = { ":authority": "a", "x-request-id": id };
  if (isGrpc) {
    return {
      ...base,
      ":method": "POST",
      ":path": `/h2/${dice.pick(grpcBehaviours)}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...(dice.oneIn(2) ? { "grpc-timeout": "400m" } : {}),
    };
  }
  const path = dice.oneIn(2) ? `/h2/${dice.pick(behaviours)}` : pathOf(dice);
  return { ...base, ":method": dice.pick(methods), ":path": path };
}

/** @returns undefined if the connection has just ended */
function requestOn(
  session: http2.ClientHttp2Session,
  fields: http2.OutgoingHttpHeaders,
  endStream: boolean,
): http2.ClientHttp2Stream | undefined {
  try {
    return session.request(fields, { endStream });
  } catch {
    return undefined;
  }
}
