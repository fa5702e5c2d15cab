// A reply of another shape than its command has (an empty array to SUBSCRIBE) makes ioredis 6.0.0 throw at the process,
// once a connection, and leaves the command waiting for ever. Here it ends the connection, as one that is not RESP does.
import module from "ioredis/built/DataHandler.js";

/** The private parts of it that this is about. */
interface Handler {
  dispatch(handle: () => void): void;
  returnFatalError(error: unknown): void;
}

function dispatch(this: Handler, handle: () => void): void {
  try {
    handle();
  } catch (error) {
    this.returnFatalError(error);
  }
}

/** Once a process; whatever a listener of ours throws is caught by that listener. */
export function endConnectionsOnOddReplies(): void {
  // A CommonJS module: Node hands out what it exports, whatever its types say.
  const { prototype } = (module as unknown as { default: { prototype: Handler } }).default;
  prototype.dispatch = dispatch;
}
