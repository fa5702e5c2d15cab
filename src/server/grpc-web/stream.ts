// Presents a gRPC-Web call as a gRPC call, so that the chain and the service need not know of browsers.
import type { Socket } from "node:net";
import type {
  BodyHandler,
  DetachedConnection,
  ServerStream,
  StreamHandler,
} from "../../exchange/server-stream.ts";
import type { ClientTls } from "../../plugin-api/contract.ts";
import { GatewayError } from "../../plugin-api/errors.ts";
import { isGrpcType } from "../../plugin-api/grpc-type.ts";
import { checkSendable } from "../http1/sendable.ts";
import { encodeText, Base64Decoder, trailersFrame } from "./framing.ts";

/** Status fields of a gRPC response that is only a head. Browsers show scripts only the fields that CORS exposes. */
const statusFields = new Set(["grpc-status", "grpc-message", "grpc-status-details-bin"]);
/** Fields that state a length: it does not match what is sent. */
const lengthFields = new Set(["content-length", "trailer"]);
const none: readonly string[] = [];

export interface GrpcWebForm {
  readonly requestIsText: boolean;
  readonly responseIsText: boolean;
}

export class GrpcWebStream implements ServerStream {
  readonly isGrpcWeb = true;
  readonly #inner: ServerStream;
  readonly #form: GrpcWebForm;
  #handler: StreamHandler | undefined = undefined;
  /** The response is gRPC and has to be translated. */
  #translates = false;
  #headStatus: string[] = [];
  /** Decodes a request in text form until its body is complete. */
  #decoder: Base64Decoder | undefined;

  constructor(inner: ServerStream, form: GrpcWebForm) {
    this.#inner = inner;
    this.#form = form;
    this.#decoder = form.requestIsText ? new Base64Decoder() : undefined;
  }

  get method(): string {
    return this.#inner.method;
  }

  get target(): string {
    return this.#inner.target;
  }

  get httpVersion(): string {
    return this.#inner.httpVersion;
  }

  get fields(): readonly string[] {
    return this.#inner.fields;
  }

  get framing(): ServerStream["framing"] {
    return this.#inner.framing;
  }

  get peer(): string {
    return this.#inner.peer;
  }

  get tls(): ClientTls | undefined {
    return this.#inner.tls;
  }

  get upgrades(): boolean {
    return false;
  }

  /** False until the whole body is decoded. */
  get complete(): boolean {
    return this.#inner.complete && this.#decoder === undefined;
  }

  get status(): number {
    return this.#inner.status;
  }

  get finished(): boolean {
    return this.#inner.finished;
  }

  get destroyed(): boolean {
    return this.#inner.destroyed;
  }

  get shared(): boolean {
    return this.#inner.shared;
  }

  get socket(): Socket | null {
    return this.#inner.socket;
  }

  get bytesRead(): number {
    return this.#inner.bytesRead;
  }

  get bytesWritten(): number {
    return this.#inner.bytesWritten;
  }

  get waitingBytes(): number {
    return this.#inner.waitingBytes;
  }

  open(handler: StreamHandler): void {
    this.#handler = handler;
    this.#inner.open(handler);
  }

  read(handler: BodyHandler): void {
    this.#inner.read(this.#form.requestIsText ? this.#decoded(handler) : handler);
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  awaitBody(stallMs: number): void {
    this.#inner.awaitBody(stallMs);
  }

  interim(status: number, fields: readonly string[]): void {
    this.#inner.interim(status, fields);
  }

  takesTrailers(isSized: boolean): boolean {
    return !isSized;
  }

  respond(status: number, statusText: string | undefined, fields: readonly string[]): void {
    const type =
      fields[fields.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === "content-type") + 1];
    this.#translates = isGrpcType(type);
    this.#inner.respond(status, statusText, this.#translates ? this.#head(fields) : fields);
  }

  write(bytes: Buffer): boolean {
    return this.#inner.write(this.#translates ? this.#encoded(bytes) : bytes);
  }

  end(trailers: readonly string[]): void {
    if (this.#translates) {
      checkSendable(undefined, trailers);
      this.#inner.write(this.#encoded(trailersFrame([...this.#headStatus, ...trailers])));
    }
    this.#inner.end(none);
  }

  endHalf(): void {
    this.#inner.endHalf();
  }

  destroy(): void {
    this.#inner.destroy();
  }

  reset(): void {
    this.#inner.reset();
  }

  detach(): DetachedConnection {
    throw new Error("not an upgrade");
  }

  #encoded(bytes: Buffer): Buffer {
    return this.#form.responseIsText ? encodeText(bytes) : bytes;
  }

  #head(fields: readonly string[]): string[] {
    const head: string[] = [];
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      const value = fields[i + 1] as string;
      const lower = name.toLowerCase();
      if (statusFields.has(lower)) this.#headStatus.push(name, value);
      else if (lower === "content-type")
        head.push(
          name,
          value.replace(
            /^application\/grpc/i,
            `application/grpc-web${this.#form.responseIsText ? "-text" : ""}`,
          ),
        );
      else if (!lengthFields.has(lower)) head.push(name, value);
    }
    return head;
  }

  #decoded(handler: BodyHandler): BodyHandler {
    return {
      onData: (chunk) => this.#received(chunk, handler),
      onEnd: (trailers) => {
        if (this.#decoder?.isWhole === false) this.#isWrong();
        this.#decoder = undefined;
        handler.onEnd(trailers);
      },
      onBroken: () => handler.onBroken(),
      onStall: () => handler.onStall(),
    };
  }

  #received(chunk: Buffer, handler: BodyHandler): void {
    // After a decoding error, the rest of the body is dropped.
    const bytes = this.#decoder === undefined ? chunk : this.#decoder.decode(chunk);
    if (bytes === undefined) this.#isWrong();
    else if (bytes.length > 0) handler.onData(bytes);
  }

  #isWrong(): void {
    const error = new GatewayError(
      "malformed_request",
      "The body of application/grpc-web-text is not base64.",
    );
    const isTold = this.#handler?.onMalformed(error);
    this.#decoder = undefined;
    if (isTold !== true) this.reset();
  }
}
