// Reads three fields of a request and sets one: the least that most filters do.
#include "memory.h"

EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}
EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(u32 size) { return take(size); }
EXPORT(proxy_on_context_create) void on_context_create(u32 context, u32 parent) {}
EXPORT(proxy_on_request_headers) u32 on_request_headers(u32 context, u32 count, u32 end) {
  char *value;
  u32 size;
  forget();
  proxy_get_header_map_value(REQUEST_HEADERS, ":path", 5, &value, &size);
  proxy_get_header_map_value(REQUEST_HEADERS, "accept", 6, &value, &size);
  proxy_get_header_map_value(REQUEST_HEADERS, "user-agent", 10, &value, &size);
  proxy_replace_header_map_value(REQUEST_HEADERS, "x-agent", 7, value, size);
  return CONTINUE;
}
