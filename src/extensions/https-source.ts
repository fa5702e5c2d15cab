// Reads packages from a URL: a single file, or an index (`….json`) whose entries name files beside it.
import { type HostClient, taken } from "./host-client.ts";
import { entryIn, type IndexEntry, isIndex, maxIndexBytes, parseIndex, versionsIn } from "./index-file.ts";
import { maxPackageBytes } from "./package.ts";
import { PackageError, quoted } from "./package-error.ts";
import { maxSignatureBytes, type PackageSource, type Wanted } from "./source.ts";

export function createHttpsSource(client: HostClient): PackageSource {
  const get = async (url: URL, what: string, maxBytes: number, signal: AbortSignal): Promise<Buffer> =>
    taken(url, what, await client.request(url, { maxBytes, signal }));
  const index = async (location: string, signal: AbortSignal): Promise<readonly IndexEntry[]> =>
    parseIndex(await get(urlOf(location), "index", maxIndexBytes, signal));
  const place = async (wanted: Wanted, signal: AbortSignal): Promise<URL> => {
    const { location } = wanted;
    if (!isIndex(location)) return urlOf(location);
    const { file } = entryIn(await index(location, signal), wanted);
    return urlOf(file, location);
  };
  return {
    fetch: async (wanted, signal) =>
      await get(await place(wanted, signal), "package", maxPackageBytes, signal),
    async signature(wanted, signal) {
      const url = await place(wanted, signal);
      url.pathname += ".sig";
      const answer = await client.request(url, { maxBytes: maxSignatureBytes, signal });
      return answer.status === 404 ? undefined : taken(url, "signature", answer).toString("latin1").trim();
    },
    versions: async (wanted, signal) =>
      isIndex(wanted.location) ? versionsIn(await index(wanted.location, signal), wanted) : undefined,
    async list(location, signal) {
      if (!isIndex(location))
        throw new PackageError(`${quoted(location)} is no index: its name ends in .json`);
      const entries = await index(location, signal);
      return entries.map(({ name, version }) => ({ name, version, location }));
    },
  };
}

/** Parses a location. @throws PackageError unless it is an https URL, also for entries of an index */
function urlOf(location: string, base?: string): URL {
  const url = URL.parse(location, base);
  if (url?.protocol === "https:") return url;
  throw new PackageError(`${quoted(location)} is no https URL`);
}
