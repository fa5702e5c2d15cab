// What the image runs, bundled to outrigger.cjs. CommonJS, because an `import` of node:http loads fetch and WebSocket
// too, which nothing here uses (Node 26: 14 MiB resident, 25 ms).
import { compileProgram, runProgram } from "./program.ts";

runProgram(compileProgram(import.meta.dirname), import.meta.dirname);
