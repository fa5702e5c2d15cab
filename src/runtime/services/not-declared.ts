// Defines the error for use of something that a plugin's definition does not declare.

/** The message tells operators what to declare, or what to ask the plugin's author for. */
export class NotDeclared extends Error {
  override readonly name = "NotDeclared";

  /** @param what e.g. `the key "apikey:…"` @param member of the definition's `needs` */
  constructor(plugin: string, what: string, member: string) {
    super(`plugin "${plugin}" uses ${what}, which its definition does not declare (needs.${member})`);
  }
}
