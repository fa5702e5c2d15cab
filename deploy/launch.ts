// The entry point of the image, bundled to outrigger.cjs. It is CommonJS because an `import` of node:http also loads
// fetch and WebSocket, which nothing here uses (Node 26: 14 MiB resident, 25 ms).
import { compileProgram, runProgram } from "./program.ts";

runProgram(compileProgram(import.meta.dirname), import.meta.dirname);
