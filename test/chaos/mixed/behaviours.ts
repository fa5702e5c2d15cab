// All that the HTTP/1.1 service does to its proxy, by the last part of the path.
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Asked } from "./asked.ts";

export type Behaviour = (asked: Asked) => Promise<void> | void;

/** Longer than any route's time limit. */
const stallMs = 1_500;
const chunk = (text: string, extension = ""): string =>
  `${text.length.toString(16)}${extension}\r\n${text}\r\n`;
const destroy = ({ peer }: Asked): void => void peer.socket.destroy();

/** These do not wait for the body. */
export const atOnce: Readonly<Record<string, Behaviour>> = {
  async early(asked) {
    asked.whole("403 No");
    await asked.readBody();
  },
  earlyclose(asked) {
    asked.whole("403 No", ["Connection: close"]);
    asked.peer.end();
  },
  reset: ({ peer }) => peer.reset(),
  ws: webSocket,
};

/** Faults in what is sent. */
const malformed: Readonly<Record<string, Behaviour>> = {
  hugehead(asked) {
    asked.send(`HTTP/1.1 200 OK\r\n${`X-A: ${"b".repeat(40)}\r\n`.repeat(20_000)}`);
    destroy(asked);
  },
  short(asked) {
    asked.answer("200 OK", [`Content-Length: ${asked.text.length + 10}`], asked.text);
    asked.peer.end();
  },
  long: (asked) =>
    asked.answer(
      "200 OK",
      [`Content-Length: ${asked.text.length}`],
      `${asked.text}HTTP/1.1 200 EVIL\r\nContent-Length: 4\r\n\r\nevil`,
    ),
  doublecl(asked) {
    asked.answer("200 OK", ["Content-Length: 5", "Content-Length: 6"], "abcdef");
    asked.peer.end();
  },
  tetwice(asked) {
    asked.answer("200 OK", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "0\r\n\r\n");
    asked.peer.end();
  },
  n304(asked) {
    asked.answer("304 Not Modified", ['ETag: "a"', "Content-Length: 6"], asked.dice.oneIn(2) ? "bodyyy" : "");
    if (asked.dice.oneIn(2)) asked.peer.end();
  },
  n204: (asked) => asked.answer("204 No Content", [], asked.dice.oneIn(2) ? "bodyyy" : ""),
  bad101: (asked) => asked.send("HTTP/1.1 101 SP\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nzzz"),
};

/** Too late, or never whole. */
const broken: Readonly<Record<string, Behaviour>> = {
  closeafter: destroy,
  async stall(asked) {
    await delay(stallMs);
    destroy(asked);
  },
  okthenclose(asked) {
    asked.whole();
    asked.peer.end();
  },
  async endless1xx(asked) {
    for (let sent = 0; sent < 200 && !asked.isGone; sent += 1) {
      asked.send("HTTP/1.1 102 Processing\r\n\r\n");
      await delay(10);
    }
    destroy(asked);
  },
  async midreset(asked) {
    asked.answer("200 OK", ["Content-Length: 100000"], "y".repeat(20_000));
    await asked.pause(30);
    asked.peer.reset();
  },
  async midstall(asked) {
    asked.answer("200 OK", ["Content-Length: 100000"], "y".repeat(2_000));
    await delay(stallMs);
    destroy(asked);
  },
};

const regular: Readonly<Record<string, Behaviour>> = {
  ok: (asked) => asked.whole(),
  cached: (asked) => asked.whole("200 OK", ["Cache-Control: max-age=1"]),
  s503: (asked) => asked.answer("503 Busy", ["Content-Length: 2"], "no"),
  async chunked(asked) {
    const [first, rest] = [asked.text.slice(0, 40), asked.text.slice(40)];
    asked.answer("200 OK", ["Transfer-Encoding: chunked", "Trailer: X-T"], chunk(first, ";e=1"));
    if (asked.isHead) return;
    if (asked.dice.oneIn(2)) await asked.pause(20);
    asked.send(`${rest === "" ? "" : chunk(rest)}0\r\nX-T: 1\r\n\r\n`);
  },
  closed(asked) {
    asked.answer("200 OK", [], asked.text);
    asked.peer.end();
  },
  async interim(asked) {
    asked.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    await asked.pause(10);
    asked.whole();
  },
  async sse(asked) {
    asked.answer("200 OK", ["Content-Type: text/event-stream", "Transfer-Encoding: chunked"]);
    if (asked.isHead) return;
    for (let sent = 0; sent < 20 && !asked.isGone; sent += 1) {
      asked.send(chunk(`data: ${asked.id}\n\n`));
      await asked.pause(100);
    }
    asked.send("0\r\n\r\n");
  },
};

/** These read the body first. */
export const afterBody: Readonly<Record<string, Behaviour>> = { ...regular, ...broken, ...malformed };

/** Sends a few messages, then leaves: in order, or with a reset while its end is on its way. */
async function webSocket(asked: Asked): Promise<void> {
  const { dice, peer } = asked;
  const key = asked.field("sec-websocket-key");
  if (key === undefined || dice.oneIn(6)) {
    asked.answer("400 Bad", ["Content-Length: 0"]);
    return;
  }
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  const fields = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`, "", ""];
  asked.send(["HTTP/1.1 101 Switching Protocols", ...fields].join("\r\n"));
  const leaves = dice.oneIn(2);
  for (let left = dice.below(20); left > 0 && !asked.isGone; left -= 1) {
    asked.send(Buffer.from([0x81, 2, 65, 66]));
    await asked.pause(50);
  }
  if (leaves) peer.reset();
  else {
    asked.send(Buffer.from([0x88, 2, 3, 232]));
    peer.end();
  }
}
