// Converts a path to the one form that all readings by services have in common. Services differ: they decode once or
// twice, before or after they split into segments; remove parameters (`;a=1`), blanks or a slash at the end; fold
// full-width letters or case. None of these spellings gets around a rule that is compared in the common form.

// Decoding must be bounded: each pass costs the length of the path.
const deepestEscapes = 4;
const needsReading = /[%;\\]/;
// Characters that must not appear from the second decoding on: they would split or merge segments, end the path, or
// start parameters.
// oxlint-disable-next-line no-control-regex -- control characters are among them
const structural = /[\0-\x1f\x7f/\\.;?#]/;
// Overlong UTF-8: more bytes than the character needs. Lenient decoders read it as a dot or a slash (RFC 3629 section
// 3).
const overlong = /[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]/;
const escapes = /%([0-9A-Fa-f]{2})/g;
// Stands for an encoded slash that stays part of its segment. No path can contain it, and NFKC leaves it unchanged.
const keptSlash = "\ue000";

const tooDeep = "is encoded too many times over";
const twice = "holds an escape of an escape that some services decode to another path";

/** @returns the bytes of the path, one per character, fully decoded; or what is wrong with the path */
function decodeBytes(path: string): { bytes: string } | { flaw: string } {
  let bytes = path;
  for (let depth = 0; bytes.includes("%"); depth += 1) {
    let found = false;
    let dangerous = false;
    const decoded = bytes.replace(escapes, (_, hex: string) => {
      found = true;
      const byte = String.fromCharCode(Number.parseInt(hex, 16));
      if (depth > 0 && structural.test(byte)) dangerous = true;
      return byte;
    });
    if (!found) break;
    if (depth >= deepestEscapes) return { flaw: tooDeep };
    if (dangerous) return { flaw: twice };
    if (overlong.test(decoded)) return { flaw: "holds a character in more bytes than it takes" };
    bytes = decoded;
  }
  return { bytes };
}

// Matches one sequence at a time, so that a stray byte after a segment does not change how the segment is read.
const utf8 = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}/g;

/** Decodes those bytes to characters in compatibility form (full-width `／` is `/` to services that normalise). */
function characters(bytes: string): string {
  if (!/[\x80-\xff]/.test(bytes)) return bytes;
  return bytes.replace(utf8, (run) => Buffer.from(run, "latin1").toString("utf8")).normalize("NFKC");
}

// Control characters, and everything that some language trims as a blank. JavaScript's \s is Unicode's White_Space
// without U+0085; older tables include U+180E and U+200B. NFKC has already turned most of them into a plain space.
// oxlint-disable-next-line no-control-regex, no-irregular-whitespace -- they are what is looked for
const blank = /[\0-\x20\x7f\x85\u180e\u200b\s]/;
const isBlank = (text: string, at: number): boolean => blank.test(text.charAt(at));

/** A segment as seen by services that remove parameters and blanks. */
function bareSegment(segment: string): string {
  const mark = segment.indexOf(";");
  let end = mark === -1 ? segment.length : mark;
  let start = 0;
  while (end > start && isBlank(segment, end - 1)) end -= 1;
  while (start < end && isBlank(segment, start)) start += 1;
  return segment.slice(start, end);
}

/**
 * Finds readings that comparablePath cannot cover.
 * @param path normalised, except for what this looks for
 * @returns why no route may take the path: a service could read it as a path that cannot be compared with it
 */
export function pathHazard(path: string): string | undefined {
  if (!needsReading.test(path)) return undefined;
  if (path.includes("\\") || path.includes("%5C")) return "holds a backslash";
  if (path.includes("%00")) return "holds a NUL";
  for (const segment of path.split("/")) {
    if (!needsReading.test(segment)) continue;
    const decoded = decodeBytes(segment);
    if ("flaw" in decoded) return decoded.flaw;
    const text = characters(decoded.bytes);
    if (text.includes("\\")) return "holds a backslash";
    if (text !== decoded.bytes && /%[0-9A-Fa-f]{2}/.test(text)) return twice;
    // A service that removes parameters before decoding does not see a delimiter inside them; other services do.
    const parameters = text.indexOf(";");
    if (parameters !== -1 && /[/?#]/.test(text.slice(parameters)))
      return "holds an encoded delimiter within parameters";
    if (text.split(/[/?#]/).some((part) => /^\.{1,2}$/.test(bareSegment(part)))) {
      return "holds a dot segment in disguise";
    }
  }
  return undefined;
}

/**
 * Converts a path to the form that all its readings share: if a service could take one path for another, both have the
 * same form. Use it only to compare; never forward it.
 * @param path normalised, without hazard
 * @param slash whether `%2F` divides segments or is part of its segment
 */
export function comparablePath(
  path: string,
  foldsCase = false,
  slash: "divides" | "kept" = "divides",
): string {
  let text = path;
  if (needsReading.test(path)) {
    const decoded = decodeBytes(slash === "kept" ? path.replaceAll("%2F", "%00") : path);
    if ("flaw" in decoded) return path;
    text = characters(decoded.bytes);
    if (slash === "kept") text = text.replaceAll("\0", keptSlash);
    const end = text.search(/[?#]/);
    const segments = (end === -1 ? text : text.slice(0, end)).split("/").map(bareSegment);
    text = `/${segments.filter((segment) => segment !== "").join("/")}`;
  } else if (path.length > 1 && path.endsWith("/")) {
    text = path.slice(0, -1);
  }
  return foldsCase ? fold(text) : text;
}

/** Converts to upper case first: some letters share their capital with another letter (`ſ` and `s`). */
function fold(text: string): string {
  return text.toUpperCase().toLowerCase();
}

/**
 * A path in the spelling that a case-insensitive service treats as the same path. Escapes of non-ASCII characters are
 * decoded; other escapes stay encoded.
 */
export function foldCase(path: string): string {
  if (!path.includes("%")) return path.toLowerCase();
  return fold(
    path.replace(/(?:%[89A-F][0-9A-F])+/g, (run) => {
      try {
        return decodeURIComponent(run);
      } catch {
        return run;
      }
    }),
  );
}

/** Whether a normalised path may be read in other ways than as itself: false for nearly all paths. */
export function hasReadings(path: string): boolean {
  return needsReading.test(path) || (path.endsWith("/") && path.length > 1);
}
