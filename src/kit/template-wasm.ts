// Makes the files of a new proxy-wasm filter in AssemblyScript.
import { commonFiles, type Files, type Template, versions } from "./template.ts";

const table = `| option | type | default | meaning |
| --- | --- | --- | --- |
| \`greeting\` | string | \`"hello"\` | What X-Greeting says. |`;

const compile =
  "asc assembly/index.ts assembly/process.ts -O2 --use abort=abort_proc_exit --use process=logged_process --path node_modules --outFile plugin.wasm";

export function wasmFiles(template: Template): Files {
  const { name } = template;
  return {
    ...commonFiles(template, {
      main: "plugin.wasm",
      scripts: { build: compile, pretest: "npm run build" },
      devDependencies: versions("@gcoredev/proxy-wasm-sdk-as", "assemblyscript"),
      description: "Greets whoever asks.",
      manifest: {
        name,
        priority: 30,
        failMode: "open",
        hooks: ["onRequest", "onResponse", "onComplete"],
        options: {
          type: "object",
          properties: {
            greeting: {
              type: "string",
              maxLength: 200,
              default: "hello",
              description: "What X-Greeting says.",
            },
          },
          additionalProperties: false,
        },
        needs: { readFields: [], writeFields: ["x-greeting"] },
      },
      example: { options: { greeting: "good morning" }, request: { method: "GET", path: "/" } },
      runtime: "wasm",
      table,
    }),
    "assembly/index.ts": filterText(name),
    "assembly/process.ts": processText,
    "index.test.ts": testText(name),
  };
}

const filterText = (
  name: string,
): string => `// The ${name} filter: greets whoever asks. The classes are those of the proxy-wasm SDK.
export * from "@gcoredev/proxy-wasm-sdk-as/assembly/proxy";
import {
  Context,
  FilterHeadersStatusValues,
  registerRootContext,
  RootContext,
  stream_context,
} from "@gcoredev/proxy-wasm-sdk-as/assembly";

class Plugin extends RootContext {
  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

class Stream extends Context {
  greeting: string;

  constructor(id: u32, plugin: Plugin) {
    super(id, plugin);
    this.greeting = optionOf(plugin.getConfiguration(), "greeting", "hello");
  }

  onResponseHeaders(_count: u32, _end: bool): FilterHeadersStatusValues {
    stream_context.headers.response.replace("x-greeting", this.greeting);
    return FilterHeadersStatusValues.Continue;
  }
}

/** A text among the route's options, which come as JSON; for more than that take a JSON library of AssemblyScript. */
function optionOf(options: string, name: string, otherwise: string): string {
  const start = options.indexOf('"' + name + '":"');
  if (start == -1) return otherwise;
  const from = start + name.length + 4;
  return options.substring(from, options.indexOf('"', from));
}

registerRootContext((id: u32) => new Plugin(id), "");
`;

const processText = `// The SDK writes its own messages to \`process.stdout\`, which a filter has not: they go to the host's log.
// @ts-ignore: decorator
@external("env", "proxy_log")
declare function proxy_log(level: i32, text: usize, size: usize): i32;

// @ts-ignore: decorator
@global
namespace logged_process {
  export namespace stdout {
    export function write(text: string): void {
      const bytes = String.UTF8.encode(text);
      proxy_log(2, changetype<usize>(bytes), bytes.byteLength);
    }
  }
}
`;

const testText = (name: string): string => `import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startSidecar } from "outrigger/plugin/testing";
import manifest from "./manifest.json" with { type: "json" };

const file = join(import.meta.dirname, "plugin.wasm");
const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");

for (const [options, greeting] of [
  [{}, "hello"],
  [{ greeting: "good morning" }, "good morning"],
] as const)
  test(\`says \${greeting}\`, async () => {
    await using sidecar = await startSidecar({
      policy: {
        extensions: { "${name}": { source: \`file:\${file}\`, sha256, runtime: "wasm", manifest } },
        plugins: ["logging", "${name}"],
        pluginConfig: { "${name}": options },
      },
      upstream: (_request, response) => void response.end("service"),
    });
    const answer = await fetch(sidecar.url);
    assert.deepEqual([answer.status, await answer.text(), answer.headers.get("x-greeting")], [200, "service", greeting]);
  });
`;
