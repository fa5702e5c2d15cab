// Makes the files that `plugin init` writes: a plugin that builds, passes its own tests and can be packed unchanged.
import packageJson from "../../package.json" with { type: "json" };

export type Kind = "ts" | "wasm";
/** File contents by path. */
export type Files = Readonly<Record<string, string>>;

export interface Template {
  readonly name: string;
  /** Location of Outrigger, as the plugin's package.json names it. */
  readonly outrigger: string;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
const { devDependencies } = packageJson;
const versionsOf = (...names: (keyof typeof devDependencies)[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, devDependencies[name]]));

/** The parts in which the two kinds of plugin differ. */
export interface Own {
  readonly main: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly description: string;
  readonly manifest: object;
  readonly example: { readonly options: object; readonly request: object };
  readonly runtime: string;
  /** The options table for the README. */
  readonly table: string;
}

const compilerOptions = {
  target: "esnext",
  lib: ["esnext"],
  module: "nodenext",
  types: ["node"],
  noEmit: true,
  allowImportingTsExtensions: true,
  erasableSyntaxOnly: true,
  verbatimModuleSyntax: true,
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  resolveJsonModule: true,
  skipLibCheck: true,
};

/** Makes the files that both kinds of plugin have. */
export function commonFiles(template: Template, own: Own): Files {
  const { name } = template;
  const { options } = own.example;
  return {
    "package.json": packageText(template, own),
    "manifest.json": json({ description: own.description, ...own.manifest }),
    "example.json": json(own.example),
    "policy.json": json({
      apiVersion: "outrigger/v1",
      extensions: {
        [name]: { source: `redis:plugin:${name}`, version: "^0.1.0", runtime: own.runtime },
      },
      plugins: ["logging", name],
      pluginConfig: { [name]: options },
    }),
    "tsconfig.json": json({ compilerOptions, include: ["*.ts"] }),
    ".gitignore": "node_modules\n*.cjs\n*.cjs.sig\n*.wasm\n*.wasm.sig\n",
    "README.md": readmeText(name, own),
  };
}

function packageText({ name, outrigger }: Template, own: Own): string {
  return json({
    name,
    version: "0.1.0",
    private: true,
    type: "module",
    main: own.main,
    scripts: {
      ...own.scripts,
      test: "outrigger plugin test",
      bench: "outrigger plugin bench",
      pack: "outrigger plugin pack .",
      typecheck: "tsc --noEmit",
    },
    devDependencies: {
      ...versionsOf("@types/node", "rolldown", "typescript"),
      ...own.devDependencies,
      outrigger,
    },
  });
}

const readmeText = (name: string, { description, table }: Own): string => `# ${name}

${description} [\`policy.json\`](policy.json) is a policy with it.

## Options

${table}

## Work on it

\`\`\`sh
npm test         # the rules for plugins, index.test.ts, and faults on the real chain
npm run bench    # µs and bytes a request, into manifest.json; example.json has the request and the options
npm run pack     # one file, to sign and to publish
\`\`\`
`;

/** Turns a plugin's name into part of a metric's name: `my-plugin` becomes `my_plugin`. */
export const metricName = (name: string): string => name.replaceAll("-", "_");
export const versions = versionsOf;
