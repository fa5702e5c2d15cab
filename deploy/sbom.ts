// Makes the image's bill of materials (CycloneDX) with npm, from the lock file. The same lock file gives the same
// bytes.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Component {
  readonly "bom-ref": string;
  readonly properties: readonly { readonly name: string }[];
}

interface Sbom {
  serialNumber: string;
  readonly metadata: { timestamp?: string; readonly component: Component & { name: string } };
  components: Component[];
  dependencies: { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/**
 * Removes development packages. npm's own `--omit=dev` (11.19) also removes packages that users get, if a development
 * package needs them too.
 */
function withoutDevelopment(sbom: Sbom): void {
  sbom.components = sbom.components.filter(
    ({ properties }) => !properties.some(({ name }) => name === "cdx:npm:package:development"),
  );
  const kept = new Set([sbom.metadata.component, ...sbom.components].map((each) => each["bom-ref"]));
  sbom.dependencies = sbom.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((name) => kept.has(name)) }));
}

/** @param root folder of package.json and package-lock.json */
export function sbomOf(root: string): string {
  const args = ["sbom", "--sbom-format=cyclonedx", "--sbom-type=application", "--package-lock-only"];
  const text = execFileSync("npm", args, {
    cwd: root,
    encoding: "utf8",
    timeout: 60_000,
    maxBuffer: 1 << 26,
  });
  const sbom = JSON.parse(text) as Sbom;
  withoutDevelopment(sbom);
  // npm would use a random number, the time of day and the folder's name, which differ from build to build.
  const digest = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const [, ...parts] = /^(.{8})(.{4}).(.{3}).(.{3})(.{12})/.exec(digest) ?? [];
  const [a = "", b = "", c = "", d = "", e = ""] = parts;
  sbom.serialNumber = `urn:uuid:${a}-${b}-8${c}-8${d}-${e}`;
  delete sbom.metadata.timestamp;
  sbom.metadata.component.name = "outrigger";
  return `${JSON.stringify(sbom, null, 2)}\n`;
}
