// Checks whether text can be a value in a head, where nothing in it may end a line (RFC 9110 section 5.5).

// Characters above 0xff would be cut to their low byte when written, and could so become a line end.
// oxlint-disable-next-line no-control-regex
const outsideFieldValue = /[^\t\x20-\x7e\x80-\xff]/;

/** For a field value or a reason phrase. */
export const isFieldValue = (text: string): boolean => !outsideFieldValue.test(text);
