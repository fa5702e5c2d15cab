// Builds the JSON Schema of the policy document, for editors.
import { z } from "zod";
import { callerFlag } from "../../language/caller-flag.ts";
import { extensionName } from "../../extensions/manifest.ts";
import {
  documentSchema,
  failModeOf,
  isOpenToExtensions,
  type PolicyPlugin,
  type PolicyPlugins,
  pluginOfConfig,
} from "./schema.ts";

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** JSON Schema (draft 2020-12) of the document as it is written, each plugin's options in place. */
export function policyJsonSchema(plugins: PolicyPlugins): Record<string, unknown> {
  const schema = z.toJSONSchema(documentSchema({ plugins }), {
    io: "input",
    unrepresentable: "any",
    override({ zodSchema, jsonSchema }) {
      const plugin = pluginOfConfig.get(zodSchema);
      if (plugin !== undefined) replaceWith(jsonSchema, optionsSchema(plugin));
      else if (isOpenToExtensions.has(zodSchema)) openToExtensions(jsonSchema);
    },
  });
  return { title: "Outrigger policy", ...schema };
}

function optionsSchema(plugin: PolicyPlugin): JsonSchema {
  const written = { io: "input", unrepresentable: "any" } as const;
  const { $schema: _, properties, ...options } = z.toJSONSchema(plugin.options, written);
  return { ...options, properties: { ...properties, ...commonSchema(plugin) } };
}

function failModeSchema(plugin: Pick<PolicyPlugin, "security">): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(failModeOf(plugin));
  return schema;
}

/** The fields that every plugin's configuration has beside the plugin's own options. */
function commonSchema(plugin: Pick<PolicyPlugin, "security">): JsonSchema["properties"] {
  const failMode = { failMode: failModeSchema(plugin) };
  if (plugin.security) return failMode;
  const { $schema: _, ...flag } = z.toJSONSchema(callerFlag, { io: "input" });
  return { ...failMode, flag };
}

/** Lets the schema take the names of a document's own extensions beside those of the built-in plugins. */
function openToExtensions(schema: JsonSchema): void {
  const name = z.toJSONSchema(extensionName);
  if (schema.type === "object") {
    const ofExtension = { type: "object", properties: commonSchema({ security: false }) };
    Object.assign(schema, { patternProperties: { [name.pattern as string]: ofExtension } });
    return;
  }
  const { enum: builtIn } = schema;
  replaceWith(schema, {
    anyOf: [{ enum: builtIn }, { type: "string", pattern: name.pattern }],
  } as JsonSchema);
}

function replaceWith(schema: JsonSchema, other: JsonSchema): void {
  for (const key of Object.keys(schema)) delete schema[key];
  Object.assign(schema, other);
}
