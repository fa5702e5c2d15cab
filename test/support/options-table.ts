// `node test/support/options-table.ts <plugin>` prints the table of a plugin's options, for its README.
import { optionsTable } from "../../src/testing/options-table.ts";

export * from "../../src/testing/options-table.ts";

if (import.meta.main) {
  const { registry } = await import("../../plugins/index.ts");
  const plugin = registry.find(({ name }) => name === process.argv[2]);
  if (plugin === undefined) {
    const names = registry.map(({ name }) => name).join(", ");
    console.error(`usage: node test/support/options-table.ts <plugin>: one of ${names}`);
    process.exitCode = 2;
  } else console.log(optionsTable(plugin.options));
}
