// Memory of a guest in C: what is kept for ever lies below, what one hook takes above it is forgotten with the hook.
#pragma once
#include "proxy_wasm.h"

#ifndef ARENA
#define ARENA (1 << 20)
#endif
static char arena[ARENA] __attribute__((aligned(16)));
static u32 taken, kept;

void *memcpy(void *to, const void *from, unsigned long size) {
  char *t = to;
  const char *f = from;
  while (size--) *t++ = *f++;
  return to;
}
void *memset(void *to, int value, unsigned long size) {
  char *t = to;
  while (size--) *t++ = value;
  return to;
}
static char *take(u32 size) {
  char *place = arena + taken;
  if (size > ARENA - taken) return 0;
  taken = (taken + size + 15) & ~15u;
  if (taken > ARENA) taken = ARENA;
  return place;
}
/** To be called when a hook begins. */
static void forget(void) { taken = kept; }
static void keep(void) { kept = taken; }
