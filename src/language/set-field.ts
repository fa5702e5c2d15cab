// The name of a request field that a plugin's options have it set.
import { fieldKey, writtenFieldName } from "./field-name.ts";
import { isClientsField, messageFields, writtenForwardedFields } from "./field-sets.ts";

function problemOf(key: string): string | undefined {
  if (messageFields.includes(key) || writtenForwardedFields.includes(key))
    return "is written by the sidecar itself";
  // Taken from clients on every route, as is whatever is set here, it would be missed.
  return isClientsField(key) || key === "x-request-id" ? "is the clients' own" : undefined;
}

/** None that frames the message, tells of earlier hops, or that services need from clients. */
export const setFieldName = writtenFieldName.superRefine((name, context) => {
  const message = problemOf(fieldKey(name));
  if (message !== undefined) context.addIssue({ code: "custom", message });
});
