// A client of WebSockets: sends a few messages, then leaves in one of four ways.
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { maskedFrame } from "../../support/http2-websocket.ts";
import { rawClient } from "../../support/raw-http.ts";
import type { Dice } from "./dice.ts";
import { type Run, settles } from "./ledger.ts";

export async function webSocketClient(run: Run, port: number, dice: Dice, id: string): Promise<void> {
  const path = `/${dice.pick(["p", "two", "auth"])}/ws`;
  const count = dice.below(10);
  const leaves = dice.pick(["destroy", "reset", "end", "close"]);
  run.ledger.asked.set(id, `WebSocket ${path} ${leaves}`);
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const ended = new Promise((resolve) => socket.once("end", resolve).once("close", resolve));
  const client = rawClient(socket);
  const key = randomBytes(16).toString("base64");
  const head = ["Host: a", `X-Request-Id: ${id}`, "Connection: Upgrade", "Upgrade: websocket"];
  const rest = ["Sec-WebSocket-Version: 13", `Sec-WebSocket-Key: ${key}`, "", ""];
  client.send([`GET ${path} HTTP/1.1`, ...head, ...rest].join("\r\n"));
  const answered = client.answer().then(({ status }) => run.ledger.answered.set(id, status));
  const isAnswered = await settles(Promise.race([answered, ended]));
  if (!isAnswered) run.ledger.fault("a WebSocket client gets no answer", path);
  for (let sent = 0; sent < count && !socket.destroyed; sent += 1) {
    if (run.ledger.answered.get(id) === 101) client.send(maskedFrame(1, Buffer.from("AB")));
    await delay(dice.below(80));
  }
  if (leaves === "destroy") socket.destroy();
  else if (leaves === "reset") socket.resetAndDestroy();
  else if (leaves === "end" || run.ledger.answered.get(id) !== 101) socket.end();
  else client.send(maskedFrame(8, Buffer.alloc(0)));
  if (!(await settles(ended))) run.ledger.fault("a WebSocket client is stuck", `${leaves} ${path} ${id}`);
  socket.destroy();
  await client.closed;
}
