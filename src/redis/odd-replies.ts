// Ends a connection whose reply has another shape than its command expects (an empty array to SUBSCRIBE), as for bytes
// that are not RESP. ioredis 6.0.0 throws an uncaught exception then, once per connection, and the command waits
// without end.
import module from "ioredis/built/DataHandler.js";

/** The private parts of ioredis' reply handler that are used here. */
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

/** Call it once per process. Errors of the sidecar's own listeners are caught by those listeners. */
export function endConnectionsOnOddReplies(): void {
  // A CommonJS module: at run time, Node wraps its exports in `default`, whatever the types say.
  const { prototype } = (module as unknown as { default: { prototype: Handler } }).default;
  prototype.dispatch = dispatch;
}
