// The SDK writes its own messages to `process.stdout`, which AssemblyScript alone has not: here it is the host's log.
// @ts-ignore: decorator
@external("env", "proxy_log")
declare function proxy_log(level: i32, text: usize, size: usize): i32;

// @ts-ignore: decorator
@global
namespace logged_process {
  export namespace stdout {
    export function write(text: string): void {
      const bytes = String.UTF8.encode(text.trimEnd());
      proxy_log(2, changetype<usize>(bytes), bytes.byteLength);
    }
  }
}
