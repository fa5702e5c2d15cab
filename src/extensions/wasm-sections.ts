// Finds the sections of a WebAssembly module (core specification 5.5). Their contents are not checked here: the
// runtime's own validation does that.
import { PackageError, quoted } from "./package-error.ts";

export interface Section {
  readonly id: number;
  /** Only for custom sections. */
  readonly name: string | undefined;
  /** Offset of the section's first byte, its id. */
  readonly start: number;
  /** Offset of the contents; in a custom section, after the name. */
  readonly contents: number;
  readonly end: number;
}

export const wasmMagic = Buffer.from("\0asm", "latin1");
const headerBytes = 8;
const customId = 0;
/** The highest known section id, that of tags (exception handling). */
const lastId = 13;
/** Far more than any compiler writes. */
const maxSections = 4_096;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** @throws PackageError that says what is wrong at which byte */
export function wasmSections(bytes: Buffer): Section[] {
  if (bytes.length < headerBytes) throw new PackageError("the module ends within its header");
  const version = bytes.readUInt32LE(4);
  if (version !== 1)
    throw new PackageError(
      `the module has version 0x${version.toString(16)}, not 1: it is a component, or made by a later tool`,
    );
  const sections: Section[] = [];
  const seen = new Set<number>();
  for (let at = headerBytes; at < bytes.length;) {
    const section = sectionAt(bytes, at);
    if (section.id !== customId && seen.has(section.id))
      throw new PackageError(`the module has a second section ${section.id} at byte ${at}`);
    seen.add(section.id);
    sections.push(section);
    if (sections.length > maxSections)
      throw new PackageError(`the module has more than ${maxSections} sections`);
    at = section.end;
  }
  return sections;
}

function sectionAt(bytes: Buffer, start: number): Section {
  const id = bytes[start] as number;
  if (id > lastId) throw new PackageError(`the module has an unknown section ${id} at byte ${start}`);
  const size = uint32At(bytes, start + 1, bytes.length, `the size of section ${id} at byte ${start}`);
  const end = size.next + size.value;
  if (end > bytes.length)
    throw new PackageError(
      `section ${id} at byte ${start} says it has ${size.value} bytes, and ${bytes.length - size.next} are left`,
    );
  if (id !== customId) return { id, name: undefined, start, contents: size.next, end };
  const length = uint32At(bytes, size.next, end, `the name's length of the section at byte ${start}`);
  const contents = length.next + length.value;
  if (contents > end)
    throw new PackageError(`the name of the section at byte ${start} is longer than the section`);
  try {
    return { id, name: utf8.decode(bytes.subarray(length.next, contents)), start, contents, end };
  } catch {
    throw new PackageError(`the name of the section at byte ${start} is not UTF-8`);
  }
}

/** Reads LEB128 (core specification 5.2.2) of at most 32 bits, in at most five bytes. */
function uint32At(bytes: Buffer, start: number, end: number, what: string): { value: number; next: number } {
  let value = 0;
  for (let at = start; at < Math.min(end, start + 5); at += 1) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * 2 ** (7 * (at - start));
    if (byte < 0x80) {
      if (value > 0xffff_ffff) break;
      return { value, next: at + 1 };
    }
  }
  throw new PackageError(`${what} is cut off, or more than 32 bits`);
}

/** @returns the only section with that name; undefined = there is none. @throws PackageError when there are two */
export function customSection(sections: readonly Section[], name: string): Section | undefined {
  const [first, second] = sections.filter((section) => section.name === name);
  if (second !== undefined)
    throw new PackageError(`the module has a second section ${quoted(name)} at byte ${second.start}`);
  return first;
}

/** Encodes a custom section as it appears in a module. */
export function customSectionBytes(name: string, contents: Buffer): Buffer {
  const label = Buffer.from(name);
  const body = [leb128(label.length), label, contents];
  const size = body.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.of(customId), leb128(size), ...body]);
}

/** LEB128 (core specification 5.2.2), unsigned. */
export function leb128(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return Buffer.from(bytes);
}
