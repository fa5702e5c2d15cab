// Both misbehaving services: HTTP/1.1 by exact bytes, HTTP/2 in clear.
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { RawPeer } from "../../support/raw-peer.ts";
import { startRawServer } from "../../support/raw-server.ts";
import type { Scene } from "../../support/scene.ts";
import { Asked } from "./asked.ts";
import { afterBody, atOnce } from "./behaviours.ts";
import { Dice } from "./dice.ts";
import type { Run } from "./ledger.ts";

const regular = (asked: Asked): void => asked.whole();

/** @returns its port */
export async function startHttp1Service(scene: Scene, run: Run): Promise<number> {
  const server = await startRawServer(async (peer: RawPeer) => {
    void peer.ended.then(() => peer.end());
    for (let isOpen = true; isOpen;) {
      const asked = new Asked(peer, await peer.head(), run);
      const early = atOnce[asked.behaviour];
      if (early === undefined) await asked.readBody();
      await (early ?? afterBody[asked.behaviour] ?? regular)(asked);
      isOpen = !asked.isGone;
    }
  });
  scene.after(() => server.close());
  return server.port;
}

/** @returns its port */
export async function startHttp2Service(scene: Scene, run: Run): Promise<number> {
  const server = http2.createServer();
  const sessions = new Set<http2.ServerHttp2Session>();
  let count = 0;
  server.on("session", (session: http2.ServerHttp2Session) => {
    sessions.add(session);
    session.on("error", () => {}).on("close", () => sessions.delete(session));
    void endSession(session, new Dice(run.seed, `session ${(count += 1)}`));
  });
  server.on("stream", (stream: http2.ServerHttp2Stream, fields) => {
    stream.on("error", () => {}).on("data", () => {});
    const name = String(fields[":path"]).split("?", 1)[0]?.split("/").at(-1) ?? "";
    const id = String(fields["x-request-id"]);
    const answer = (): void => void answerStream(stream, name, id, new Dice(run.seed, id));
    if (name === "early") answer();
    else stream.on("end", answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scene.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Some sessions end while requests are on their way, in order or not. */
async function endSession(session: http2.ServerHttp2Session, dice: Dice): Promise<void> {
  const way = dice.below(20);
  if (way > 6) return;
  await delay(dice.below(3_000), undefined, { ref: false });
  if (session.destroyed) return;
  if (way < 2) session.destroy();
  else if (way < 4) session.goaway(0);
  else session.close();
}

async function answerStream(
  stream: http2.ServerHttp2Stream,
  name: string,
  id: string,
  dice: Dice,
): Promise<void> {
  if (stream.closed || name === "stall") return;
  const head = { ":status": 200, "x-rid": id };
  const grpc = { ...head, "content-type": "application/grpc" };
  if (name === "rst") stream.close(dice.pick([2, 7, 8, 11]));
  else if (name === "early") {
    stream.respond({ ...head, ":status": 403 });
    stream.end(`${id}|`);
  } else if (name === "trailersonly") stream.respond({ ...grpc, "grpc-status": "14" }, { endStream: true });
  else if (name === "grpc") {
    stream.respond(grpc, { waitForTrailers: true });
    const trailers = { "grpc-status": dice.pick(["0", "14", "5"]) };
    stream.on("wantTrailers", () => stream.closed || stream.sendTrailers(trailers));
    for (let left = dice.below(6); left > 0 && !stream.closed; left -= 1) {
      stream.write(Buffer.from([0, 0, 0, 0, 2, 65, 66]));
      await delay(dice.below(30));
    }
    if (!stream.closed) stream.end();
  } else if (name === "midrst") {
    stream.respond(head);
    stream.write("x".repeat(1_000));
    await delay(dice.below(20));
    stream.close(2);
  } else {
    stream.respond(head);
    stream.end(`${id}|${"x".repeat(dice.below(50_000))}`);
  }
}
