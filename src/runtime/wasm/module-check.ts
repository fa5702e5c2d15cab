// Checks a module before it runs: its ABI version, its exports, and whether all its imports exist. Sets a maximum for
// its memory and tables. V8 checks the rest.
import { leb128, wasmSections } from "../../extensions/wasm-sections.ts";
import { BinaryReader, MalformedModule } from "./binary-reader.ts";

export interface CheckedModule {
  /** The module with its maxima clamped. */
  readonly bytes: Buffer;
  readonly abi: "0.1.0" | "0.2.0" | "0.2.1";
  /** Names of the functions that the module exports. */
  readonly exports: ReadonlySet<string>;
}

const pageBytes = 65_536;
/** Entries of a table: the largest SDK module seen has some ten thousand. */
const maxTableEntries = 131_072;
const maxTables = 16;
const ids = { types: 1, imports: 2, tables: 4, memories: 5, exports: 7 };
const kinds = { function: 0, table: 1, memory: 2, global: 3, tag: 4 };
const abis = [
  ["proxy_abi_version_0_2_1", "0.2.1"],
  ["proxy_abi_version_0_2_0", "0.2.0"],
  ["proxy_abi_version_0_1_0", "0.1.0"],
] as const;

/**
 * @param known `module.name` of everything that can be imported
 * @throws MalformedModule or PackageError with what is wrong with the module
 */
export function checkModule(module: Buffer, known: ReadonlySet<string>, memoryMiB: number): CheckedModule {
  const out: Buffer[] = [module.subarray(0, 8)];
  let exports: ReadonlySet<string> = new Set();
  let hasMemory = false;
  for (const { id, start, contents, end } of wasmSections(module)) {
    const content = module.subarray(contents, end);
    const section = new BinaryReader(content);
    if (id === ids.types) checkTypes(section);
    else if (id === ids.imports) checkImports(section, known);
    else if (id === ids.exports) exports = exportedFunctions(section);
    if (id === ids.tables) out.push(...sectionOf(id, clampTables(section, content)));
    else if (id === ids.memories) {
      out.push(...sectionOf(id, clampMemory(section, content, memoryMiB)));
      hasMemory = true;
    } else out.push(module.subarray(start, end));
  }
  if (!hasMemory) throw new MalformedModule("it has no memory of its own");
  const abi = abis.find(([marker]) => exports.has(marker))?.[1];
  if (abi === undefined) {
    throw new MalformedModule(
      "it is no proxy-wasm module of ABI 0.1.0, 0.2.0 or 0.2.1: it exports no proxy_abi_version_…",
    );
  }
  if (!exports.has("proxy_on_memory_allocate") && !exports.has("malloc")) {
    throw new MalformedModule("it exports neither proxy_on_memory_allocate nor malloc");
  }
  return { bytes: Buffer.concat(out), abi, exports };
}

function sectionOf(id: number, content: Buffer): Buffer[] {
  return [Buffer.of(id), leb128(content.length), content];
}

/** Allows only function types: objects of WebAssembly GC live in memory that no limit here covers. */
function checkTypes(section: BinaryReader): void {
  const count = section.u32();
  for (let i = 0; i < count; i += 1) {
    if (section.byte() !== 0x60)
      throw new MalformedModule("it uses garbage-collected types, which are not allowed");
    // Parameters, then results.
    for (let list = 0; list < 2; list += 1) {
      const types = section.u32();
      for (let type = 0; type < types; type += 1) skipValueType(section);
    }
  }
}

function skipValueType(section: BinaryReader): void {
  const type = section.byte();
  // Typed references: a heap type follows.
  if (type === 0x63 || type === 0x64) section.skipNumber();
}

function checkImports(section: BinaryReader, known: ReadonlySet<string>): void {
  const count = section.u32();
  for (let i = 0; i < count; i += 1) {
    const name = `${section.name()}.${section.name()}`;
    const kind = section.byte();
    if (kind !== kinds.function) {
      throw new MalformedModule(`it imports ${name}, which is no function: only functions are given`);
    }
    section.u32();
    if (!known.has(name)) throw new MalformedModule(`it imports ${name}, which is no function of proxy-wasm`);
  }
}

function exportedFunctions(section: BinaryReader): ReadonlySet<string> {
  const names = new Set<string>();
  const count = section.u32();
  for (let i = 0; i < count; i += 1) {
    const name = section.name();
    const kind = section.byte();
    section.u32();
    if (kind === kinds.function) names.add(name);
  }
  return names;
}

function clampMemory(section: BinaryReader, content: Buffer, memoryMiB: number): Buffer {
  if (section.u32() !== 1) throw new MalformedModule("it has several memories, or none");
  const flags = section.byte();
  if (flags > 1) throw new MalformedModule("its memory is shared or of 64 bits, which is not allowed");
  const least = section.u32();
  const most = Math.floor((memoryMiB * 1_048_576) / pageBytes);
  if (least > most) {
    const needed = Math.ceil((least * pageBytes) / 1_048_576);
    throw new MalformedModule(`it needs ${needed} MiB of memory to start, and may have ${memoryMiB}`);
  }
  const asked = flags === 1 ? section.u32() : most;
  if (section.at !== content.length) throw new MalformedModule("its memory section is not what it should be");
  return Buffer.concat([Buffer.from([1, 1]), leb128(least), leb128(Math.min(asked, most))]);
}

function clampTables(section: BinaryReader, content: Buffer): Buffer {
  const count = section.u32();
  if (count > maxTables) throw new MalformedModule(`it has more than ${maxTables} tables`);
  const out: Buffer[] = [leb128(count)];
  for (let i = 0; i < count; i += 1) {
    const from = section.at;
    skipValueType(section);
    const type = content.subarray(from, section.at);
    const flags = section.byte();
    // 0x40 begins a table with an initial value, which no SDK makes.
    if (type[0] === 0x40 || flags > 1)
      throw new MalformedModule("it has a table of a kind that is not allowed");
    const least = section.u32();
    if (least > maxTableEntries) throw new MalformedModule("one of its tables is too large");
    const most = Math.min(flags === 1 ? section.u32() : maxTableEntries, maxTableEntries);
    out.push(type, Buffer.from([1]), leb128(least), leb128(most));
  }
  if (section.at !== content.length) throw new MalformedModule("its table section is not what it should be");
  return Buffer.concat(out);
}
