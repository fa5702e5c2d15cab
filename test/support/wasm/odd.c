// Modules that a host should not take, or not start: which, is what it is compiled with.
#include "proxy_wasm.h"

volatile u32 sink;

#ifdef STRANGE_IMPORT
HOST("env", steal_the_keys) u32 steal_the_keys(u32 where);
#endif
#ifdef STRANGE_MODULE
__attribute__((import_module("node:fs"), import_name("readFileSync"))) u32 readFileSync(u32 path);
#endif
#ifdef LARGE
// More than a guest may have to start with.
static volatile char large[LARGE];
#endif

#ifndef NO_VERSION
EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}
#endif
#ifndef NO_ALLOCATOR
static char arena[65536];
static u32 taken;
EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(u32 size) { return arena + (taken = (taken + size) & 0x7fff); }
#endif

#ifdef STARTS
EXPORT(_initialize) void initialize(void) {
#ifdef SPIN
  for (;;) sink++;
#endif
#ifdef TRAP
  __builtin_trap();
#endif
}
#endif

EXPORT(proxy_on_context_create) void on_context_create(u32 context, u32 parent) {}
EXPORT(proxy_on_vm_start) u32 on_vm_start(u32 context, u32 size) {
#ifdef STRANGE_IMPORT
  sink = steal_the_keys(0);
#endif
#ifdef STRANGE_MODULE
  sink = readFileSync(0);
#endif
#ifdef LARGE
  large[sink] = 1;
#endif
#ifdef SPIN_AT_START
  for (;;) sink++;
#endif
#ifdef REFUSES
  return 0;
#endif
  return 1;
}
// A type that is not the ABI's.
#ifdef WRONG_TYPE
EXPORT(proxy_on_request_headers) double on_request_headers(double context, float count) { return context + count > 0 ? 0.5 : 0; }
#else
EXPORT(proxy_on_request_headers) u32 on_request_headers(u32 context, u32 count, u32 end) { return CONTINUE; }
#endif
