// A whole stream: eight fields are read, one is set on the request, one on the response, and it looks when all is over.
#include "memory.h"

EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}
EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(u32 size) { return take(size); }
EXPORT(proxy_on_context_create) void on_context_create(u32 context, u32 parent) {}
EXPORT(proxy_on_request_headers) u32 on_request_headers(u32 context, u32 count, u32 end) {
  char *value;
  u32 size;
  forget();
  proxy_get_header_map_value(REQUEST_HEADERS, ":method", 7, &value, &size);
  proxy_get_header_map_value(REQUEST_HEADERS, ":path", 5, &value, &size);
  proxy_get_header_map_value(REQUEST_HEADERS, ":authority", 10, &value, &size);
  proxy_get_header_map_value(REQUEST_HEADERS, "accept", 6, &value, &size);
  proxy_get_header_map_value(REQUEST_HEADERS, "user-agent", 10, &value, &size);
  proxy_get_header_map_value(REQUEST_HEADERS, "accept-language", 15, &value, &size);
  proxy_get_header_map_value(REQUEST_HEADERS, "x-tenant", 8, &value, &size);
  proxy_replace_header_map_value(REQUEST_HEADERS, "x-seen", 6, value, size);
  return CONTINUE;
}
EXPORT(proxy_on_response_headers) u32 on_response_headers(u32 context, u32 count, u32 end) {
  char *value;
  u32 size;
  forget();
  proxy_get_header_map_value(RESPONSE_HEADERS, ":status", 7, &value, &size);
  proxy_add_header_map_value(RESPONSE_HEADERS, "x-status", 8, value, size);
  return CONTINUE;
}
EXPORT(proxy_on_done) u32 on_done(u32 context) { return 1; }
EXPORT(proxy_on_log) void on_log(u32 context) {}
EXPORT(proxy_on_delete) void on_delete(u32 context) {}
