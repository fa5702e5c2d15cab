// A filter by the AssemblyScript SDK: what its classes offer, in one guest.
export * from "@gcoredev/proxy-wasm-sdk-as/assembly/proxy";
import {
  BufferTypeValues,
  Context,
  FilterDataStatusValues,
  FilterHeadersStatusValues,
  get_buffer_bytes,
  HeaderPair,
  Headers,
  log,
  LogLevelValues,
  makeHeaderPair,
  registerRootContext,
  RootContext,
  send_local_response,
  set_buffer_bytes,
  stream_context,
} from "@gcoredev/proxy-wasm-sdk-as/assembly";

class Plugin extends RootContext {
  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

class Stream extends Context {
  constructor(id: u32, plugin: Plugin) {
    super(id, plugin);
  }

  onRequestHeaders(_count: u32, _end: bool): FilterHeadersStatusValues {
    const fields = stream_context.headers.request;
    if (fields.get("x-refuse") != "") {
      const none: Headers = [makeHeaderPair("x-by", "assembly")];
      send_local_response(403, "refused", String.UTF8.encode("refused by a guest"), none, -1);
      return FilterHeadersStatusValues.StopIteration;
    }
    fields.replace("x-path", fields.get(":path"));
    fields.add("x-configuration", this.root_context.getConfiguration());
    fields.remove("x-unwanted");
    if (fields.get("x-call") != "") {
      const call: Headers = [
        makeHeaderPair(":method", "GET"),
        makeHeaderPair(":path", "/called"),
        makeHeaderPair(":authority", "called.test"),
      ];
      const status = this.root_context.httpCall(
        "called",
        call,
        new ArrayBuffer(0),
        [],
        1000,
        this,
        (origin, count, size, _trailers) => {
          const body = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.HttpCallResponseBody, 0, <u32>size));
          (origin as Stream).proceed(body);
        },
      );
      if (status == 0) return FilterHeadersStatusValues.StopIteration;
      fields.replace("x-called", "failed");
    }
    return FilterHeadersStatusValues.Continue;
  }

  proceed(body: string): void {
    stream_context.headers.request.replace("x-called", body);
    this.continueRequest();
  }

  onRequestBody(size: usize, end: bool): FilterDataStatusValues {
    if (!end) return FilterDataStatusValues.StopIterationAndBuffer;
    const body = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.HttpRequestBody, 0, <u32>size));
    set_buffer_bytes(BufferTypeValues.HttpRequestBody, 0, <u32>size, String.UTF8.encode(body.toUpperCase()));
    return FilterDataStatusValues.Continue;
  }

  onResponseHeaders(_count: u32, _end: bool): FilterHeadersStatusValues {
    stream_context.headers.response.add("x-by", "assembly");
    return FilterHeadersStatusValues.Continue;
  }

  onLog(): void {
    log(LogLevelValues.info, "assembly: logged " + stream_context.headers.response.get(":status"));
  }
}

registerRootContext((id: u32) => new Plugin(id), "");
