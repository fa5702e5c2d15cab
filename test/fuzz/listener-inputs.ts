// Generates input that clients may send but should not: requests from a grammar, with errors, cut anywhere.

type Random = () => number;

export interface Input {
  readonly bytes: Buffer;
  /** Parts of the input, in the order in which they are sent. */
  readonly parts: readonly Buffer[];
}

const methods = ["GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "QUERY"];
const oddMethods = [
  "get",
  "GRAB",
  "CONNECT",
  "PRI",
  "SOURCE",
  "M-SEARCH",
  "",
  "G\x00T",
  "TRACE",
  "PLAY",
  "A".repeat(40),
];
const targets = ["/", "/a", "/a/b?c=d", "/a%20b", "/x?y", "*", "/p"];
const oddTargets = [
  ..."http://a/|http://a/x?y|http://b/|HTTP://A/|http:///x|http://[|https://a|ftp://a/|a:80|/a#b|/a\\b|/a^|//a|/.".split(
    "|",
  ),
  ..."/caf\xe9|/\x7f|/\x01|?x|a|/a%zz|/../x|http://u@a/|http://a:80/|".split("|"),
];
const versions = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"];
const oddVersions = [
  "HTTP/2.0",
  "HTTP/0.9",
  "HTTP/1.2",
  "HTTP/1.10",
  "http/1.1",
  "HTTP/1,1",
  "HTTP/11",
  "",
  "ICE/1.0",
  "RTSP/1.0",
];
const lines = [
  ..."Accept: */*|User-Agent: x|X-A: 1|X-A: \t1 \t|x-b:|X-C: \xe4\xff|Cookie: a=b; c=d|TE: trailers|TE: chunked".split(
    "|",
  ),
  ..."Connection: close|Connection: keep-alive|Connection: Keep-Alive, X-A|connection:  CLOSE|Connection: x".split(
    "|",
  ),
  ..."Expect: 100-continue|Expect: x|Trailer: x-t|Accept-Encoding: gzip|X-D: a,b, c|Upgrade: websocket".split(
    "|",
  ),
];
const oddLines = [
  ..."Host: b|Host:|Content-Length: 3|Content-Length: 0|Content-Length:|Content-Length: +3|Content-Length: 3, 3".split(
    "|",
  ),
  ..."Content-Length: 00|Content-Length: 0x3|Content-Length: 99999999999999999999|Content-Length: 9007199254740993".split(
    "|",
  ),
  ..."Transfer-Encoding: chunked|Transfer-Encoding: Chunked|Transfer-Encoding:|Transfer-Encoding: gzip, chunked".split(
    "|",
  ),
  ..."Transfer-Encoding: chunked, gzip|Transfer-Encoding: ,chunked|Transfer-Encoding: xchunked|X Y: 1|X-Y : 1|: 1|X".split(
    "|",
  ),
  ..." folded|\tfolded|X-N: a\x00b|X-L: a\x7f|X-R: a\rb|X-Q: a\nb|\x80x: 1|Connection: close, keep-alive|Connection: keep-alive, Close|Connection: keep-alive|Connection:".split(
    "|",
  ),
  ...'Connection: Upgrade|Proxy-Connection: close|X(: 1|Host: a, b|Host: a:|Host: A:80|Host: a/b|X_Y: 1|"x": 1'.split(
    "|",
  ),
];
const extensions = [
  "",
  "",
  "",
  "",
  ";a",
  ";a=b",
  " ;a",
  '; a="b c"',
  ";",
  ";;",
  " ",
  ";a=\x01",
  ";" + "e".repeat(300),
];
const trailers = [
  "",
  "",
  "X-T: 1\r\n",
  "X-T: 1\r\nX-U: \xe4\r\n",
  ": x\r\n",
  " x\r\n",
  "Content-Length: 1\r\n",
  "X-T : 1\r\n",
];
/** More bytes than one read brings, and more than is buffered of a body. */
const muchBytes = 150_000;
const oddBytes = [0, 1, 9, 10, 13, 32, 34, 44, 48, 58, 59, 127, 128, 255];

export class Inputs {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  next(): Input {
    const bytes = Buffer.from(this.#mutated(this.#requests()), "latin1");
    return { bytes, parts: this.cut(bytes) };
  }

  /** Cuts the same bytes into other parts. */
  cut(bytes: Buffer): Buffer[] {
    const parts: Buffer[] = [];
    const chance = this.#pick([0, 0, 0.01, 0.05, 0.3]);
    let from = 0;
    for (let at = 1; at < bytes.length && parts.length < 60; at += 1) {
      if (this.#random() >= chance) continue;
      parts.push(bytes.subarray(from, at));
      from = at;
    }
    parts.push(bytes.subarray(from));
    return parts;
  }

  #requests(): string {
    let text = "";
    const count = this.#random() < 0.003 ? 100 : this.#pick([1, 1, 1, 1, 2, 3]);
    for (let left = count; left > 0; left -= 1) text += this.#request();
    return text;
  }

  #request(): string {
    const odd = this.#pick([0, 0, 0.03, 0.15]);
    const one = (usual: readonly string[], other: readonly string[]): string =>
      this.#pick(this.#random() < odd ? other : usual);
    const space = this.#random() < odd / 3 ? this.#pick(["  ", "\t", ""]) : " ";
    const lineEnd = (): string =>
      this.#random() < odd / 5 ? this.#pick(["\n", "\r", "\r\r\n", "\n\r\n"]) : "\r\n";
    let text = this.#random() < 0.05 ? this.#pick(["\r\n", "\r\n\r\n", "\n", "\r"]) : "";
    text += `${one(methods, oddMethods)}${space}${one(targets, oddTargets)} ${one(versions, oddVersions)}${lineEnd()}`;
    if (this.#random() > 0.02) text += `Host: a${lineEnd()}`;
    for (let left = this.#pick([0, 0, 1, 2, 4]); left > 0; left -= 1)
      text += `${one(lines, oddLines)}${lineEnd()}`;
    if (this.#random() < 0.004) text += `X-Large: ${"l".repeat(this.#pick([1500, 2040, 2100, 9000]))}\r\n`;
    const body = this.#pick(["none", "none", "sized", "chunked", "chunked"] as const);
    if (body === "none") return `${text}${lineEnd()}`;
    if (body === "chunked") return `${text}Transfer-Encoding: chunked\r\n${lineEnd()}${this.#chunks(odd)}`;
    const content = "b".repeat(this.#random() < 0.01 ? muchBytes : this.#pick([1, 3, 10, 100]));
    return `${text}Content-Length: ${content.length}\r\n${lineEnd()}${content}`;
  }

  #chunks(odd: number): string {
    let text = "";
    for (let left = this.#pick([0, 1, 2, 3]); left > 0; left -= 1) {
      const length = this.#random() < 0.005 ? muchBytes : this.#pick([1, 2, 10, 17]);
      const size =
        this.#random() < odd ? this.#pick(["", "g", "0x1", "-1", "fffffffffffffffff"]) : length.toString(16);
      const zeros = "0".repeat(this.#pick([0, 0, 0, 1, 9]));
      const extension = this.#random() < 0.2 ? this.#pick(extensions) : "";
      const end = this.#random() < odd / 3 ? this.#pick(["\n", "\r", ""]) : "\r\n";
      text += `${zeros}${size}${extension}${end}${"c".repeat(length)}\r\n`;
    }
    const trailer = this.#random() < 0.3 ? this.#pick(trailers) : "";
    return `${text}0\r\n${trailer}\r\n`;
  }

  #mutated(text: string): string {
    let changed = text;
    for (let left = this.#pick([0, 0, 0, 1, 1, 3]); left > 0; left -= 1) {
      const at = Math.floor(this.#random() * changed.length);
      const byte = String.fromCharCode(this.#pick(oddBytes));
      const to = at + this.#pick([0, 0, 1, 1, 2]);
      const put = this.#random() < 0.2 ? "" : this.#random() < 0.2 ? changed.slice(at, at + 8) : byte;
      changed = changed.slice(0, at) + put + changed.slice(to);
    }
    return changed;
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)] as T;
  }
}
