// Checks the name of a request field that a plugin's options tell it to set.
import { fieldKey, writtenFieldName } from "./field-name.ts";
import { isClientsField, messageFields, writtenForwardedFields } from "./field-sets.ts";

function problemOf(key: string): string | undefined {
  if (messageFields.includes(key) || writtenForwardedFields.includes(key))
    return "is written by the sidecar itself";
  // A field that is set here is removed from clients' requests on every route, so services would miss these.
  return isClientsField(key) || key === "x-request-id" ? "is the clients' own" : undefined;
}

/** Refuses fields that frame the message, describe earlier hops, or that services need from clients. */
export const setFieldName = writtenFieldName.superRefine((name, context) => {
  const message = problemOf(fieldKey(name));
  if (message !== undefined) context.addIssue({ code: "custom", message });
});
