// What a line of a script may say.
#pragma once
#include "text.h"

enum { maximum_words = 12 };

static u32 current_context, last_context, last_cas, lying_allocator;
/** The contexts of calls, by their number. */
static u32 callers[1024];
static u64 last_number;
static u32 hook_arguments[3];
/** The value that the last operation read; outlives the hook. */
static char last_bytes[65536];
static text last_value = {last_bytes, 0};

static char *lie_about(u32 size) { return lying_allocator == 1 ? (char *)0xfffffff0u : lying_allocator == 2 ? 0 : (char *)0xffff; }

static void remember(text value) {
  last_value.size = value.size < sizeof last_bytes ? value.size : sizeof last_bytes;
  memcpy(last_bytes, value.data, last_value.size);
}

static text read_configuration(u32 buffer, u32 size) {
  text value = {0, 0};
#if ABI == 10
  (void)buffer, (void)size;
  proxy_get_configuration(&value.data, &value.size);
#else
  if (size) proxy_get_buffer_bytes(buffer, 0, size, &value.data, &value.size);
#endif
  return value;
}

static int status(u32 code) {
  put_number(code);
  return 1;
}
static int status_and_value(u32 code, text value) {
  put_number(code);
  if (code != OK) return 1;
  put_byte(' ');
  put_value(value);
  remember(value);
  return 1;
}
static int status_and_number(u32 code, u64 value) {
  put_number(code);
  if (code != OK) return 1;
  last_number = value;
  put_byte(' ');
  put_number(value);
  return 1;
}

static u64 number_or_last(text word) { return equal(word, T("last")) ? last_number : number(word); }
static text text_or_last(text word) { return equal(word, T("last")) ? last_value : word; }
static text filled(u32 size) {
  text value = {take(size), size};
  if (value.data) memset(value.data, 'x', size);
  else value.size = 0;
  return value;
}

#define IS(name) equal(operation, T(name))
#define W(i) w[i].data, w[i].size
#define N(i) ((u32)number_or_last(w[i]))

static int operate_on_fields(text operation, text *w, u32 count) {
  text value = {0, 0};
  u32 code, size = 0;
  if (IS("get")) return code = proxy_get_header_map_value(N(0), W(1), &value.data, &value.size), status_and_value(code, value);
  if (IS("put")) return value = text_or_last(w[2]), status(proxy_replace_header_map_value(N(0), W(1), value.data, value.size));
  if (IS("add")) return status(proxy_add_header_map_value(N(0), W(1), W(2)));
  if (IS("replace")) return status(proxy_replace_header_map_value(N(0), W(1), W(2)));
  if (IS("remove")) return status(proxy_remove_header_map_value(N(0), W(1)));
  if (IS("addlong")) return value = filled(N(2)), status(proxy_add_header_map_value(N(0), W(1), value.data, value.size));
  if (IS("addmany")) {
    for (u32 i = code = 0; i < N(2) && !code; i++) code = proxy_add_header_map_value(N(0), W(1), "1", 1);
    return status(code);
  }
  if (IS("pairs")) {
    code = proxy_get_header_map_pairs(N(0), &value.data, &value.size);
    put_number(code);
    put_byte(' ');
    if (code == OK) put_map(value);
    return 1;
  }
  if (IS("mapsize")) return code = proxy_get_header_map_size(N(0), &size), status_and_number(code, size);
  if (IS("setpairs")) return value = map_of(w + 1, count - 1), status(proxy_set_header_map_pairs(N(0), value.data, value.size));
  return -1;
}

static int operate_on_bodies(text operation, text *w, u32 count) {
  text value = {0, 0};
  u32 code, size = 0, unused;
  if (IS("read")) return code = proxy_get_buffer_bytes(N(0), N(1), N(2), &value.data, &value.size), status_and_value(code, value);
  if (IS("size")) return code = proxy_get_buffer_status(N(0), &size, &unused), status_and_number(code, size);
  if (IS("write")) return value = text_or_last(w[3]), status(proxy_set_buffer_bytes(N(0), N(1), N(2), value.data, value.size));
  if (IS("writelong")) return value = filled(N(3)), status(proxy_set_buffer_bytes(N(0), N(1), N(2), value.data, value.size));
  if (IS("respond")) {
    text map = count > 3 ? map_of(w + 3, count - 3) : (text){0, 0}, body = text_or_last(w[1]);
    return status(proxy_send_local_response(N(0), W(2), body.data, body.size, map.data, map.size, -1));
  }
  // call upstream timeout body key=value…; the body `-` is none.
  if (IS("call")) {
    if (equal(w[2], T("-"))) w[2].size = 0;
    text map = map_of(w + 3, count - 3);
    u32 id = 0;
    code = proxy_http_call(W(0), map.data, map.size, W(2), 0, 0, N(1), &id);
    callers[id % 1024] = current_context;
    return status_and_number(code, id);
  }
#if ABI == 10
  if (IS("resume")) return status(N(0) ? proxy_continue_response() : proxy_continue_request());
  if (IS("clearroute")) return status(proxy_clear_route_cache());
#else
  if (IS("resume")) return status(proxy_continue_stream(N(0)));
  if (IS("close")) return status(proxy_close_stream(N(0)));
#endif
  return -1;
}

static int operate_on_shared(text operation, text *w, u32 count) {
  text value = {0, 0};
  u32 code, id = 0;
  u64 reading = 0;
  if (IS("shared")) return code = proxy_get_shared_data(W(0), &value.data, &value.size, &last_cas), status_and_value(code, value);
  if (IS("setshared")) return status(proxy_set_shared_data(W(0), W(1), equal(w[2], T("cas")) ? last_cas : N(2)));
  if (IS("register")) return code = proxy_register_shared_queue(W(0), &id), status_and_number(code, id);
  if (IS("resolve") && equal(w[0], T("-"))) w[0].size = 0;
  if (IS("resolve")) return code = proxy_resolve_shared_queue(W(0), W(1), &id), status_and_number(code, id);
  if (IS("enqueue")) return status(proxy_enqueue_shared_queue(N(0), W(1)));
  if (IS("dequeue")) return code = proxy_dequeue_shared_queue(N(0), &value.data, &value.size), status_and_value(code, value);
  if (IS("metric")) return code = proxy_define_metric(N(0), W(1), &id), status_and_number(code, id);
  if (IS("record")) return status(proxy_record_metric(N(0), number(w[1])));
  if (IS("increment")) return status(proxy_increment_metric(N(0), number(w[1])));
  if (IS("reading")) return code = proxy_get_metric(N(0), &reading), status_and_number(code, reading);
  return -1;
}

static int operate_on_host(text operation, text *w, u32 count) {
  text value = {0, 0};
  u32 code, n = 0, size = 0;
  u64 time = 0;
  if (IS("property")) {
    for (u32 i = 0; i < w[0].size; i++)
      if (w[0].data[i] == '/') w[0].data[i] = 0;
    return code = proxy_get_property(W(0), &value.data, &value.size), status_and_value(code, value);
  }
  if (IS("setproperty")) return status(proxy_set_property(W(0), W(1)));
  if (IS("log")) return proxy_log(N(0), W(1)), 0;
  if (IS("logstatus")) return status(proxy_log(N(0), W(1)));
  if (IS("arguments")) return put_number(hook_arguments[0]), put_byte(' '), put_number(hook_arguments[1]), put_byte(' '), put_number(hook_arguments[2]), 1;
#if ABI == 21
  if (IS("level")) return code = proxy_get_log_level(&n), status_and_number(code, n);
#endif
  if (IS("period")) return status(proxy_set_tick_period_milliseconds(N(0)));
  if (IS("time")) return code = proxy_get_current_time_nanoseconds(&time), status_and_number(code, time);
  if (IS("clock")) return code = clock_time_get(N(0), 0, &time), status_and_number(code, time);
  if (IS("random")) return value = filled(N(0)), code = random_get(value.data, value.size), status_and_value(code, value);
  if (IS("environment")) return code = environ_sizes_get(&n, &size), status_and_number(code, n + size);
  if (IS("arguments_of_program")) return code = args_sizes_get(&n, &size), status_and_number(code, n + size);
  if (IS("write_to")) {
    iovec part = {w[1].data, w[1].size};
    return code = fd_write(N(0), &part, 1, &n), status_and_number(code, n);
  }
  if (IS("exit")) return proc_exit(N(0)), 0;
  if (IS("effective")) return status(proxy_set_effective_context(equal(w[0], T("caller")) ? last_context : N(0)));
  if (IS("hold")) return last_context = current_context, 0;
  if (IS("finish")) return status(proxy_done());
  if (IS("status")) return code = proxy_get_status(&n, &value.data, &value.size), status_and_number(code, n);
  if (IS("foreign")) return code = proxy_call_foreign_function(W(0), W(1), &value.data, &value.size), status_and_value(code, value);
  if (IS("grpc")) {
    put_number(proxy_grpc_call(W(0), "a", 1, "b", 1, "", 0, "", 0, 100, &n));
    put_byte(' '), put_number(proxy_grpc_stream(W(0), "a", 1, "b", 1, "", 0, &n));
    put_byte(' '), put_number(proxy_grpc_send(1, "", 0, 1));
    put_byte(' '), put_number(proxy_grpc_cancel(1));
    put_byte(' '), put_number(proxy_grpc_close(1));
    return 1;
  }
  return -1;
}

static volatile u32 sink;
/** Fills the stack of calls, which is not in the guest's memory. */
__attribute__((noinline)) static u32 recurse(u32 depth) { return sink == depth ? 0 : recurse(depth + 1) + sink; }

/** Whether there may be no log after it. */
static int misbehaves(text operation) {
  return IS("spin") || IS("trap") || IS("recurse") || IS("touch") || IS("exit") || IS("grow") || IS("lie") || IS("lieallocator");
}

/** What a guest should not do. */
static int misbehave(text operation, text *w) {
  if (IS("spin")) for (;;) sink++;
  // burn millions
  if (IS("burn")) {
    for (u32 left = N(0) * 1000000; left; left--) sink++;
    return 0;
  }
  if (IS("trap")) __builtin_trap();
  if (IS("recurse")) return status(recurse(1));
  if (IS("grow")) {
    while (__builtin_wasm_memory_grow(0, 16) != (unsigned long)-1) sink++;
    return put_number(__builtin_wasm_memory_size(0)), 1;
  }
  if (IS("touch")) return *(volatile char *)(__builtin_wasm_memory_size(0) * 65536 + N(0)) = 1, 1;
  if (IS("flood")) {
    text value = filled(1024);
    for (u32 i = 0; i < N(0); i++) proxy_log(INFO, value.data, value.size);
    return put(T("done")), 1;
  }
  if (IS("calls")) {
    text map = map_of(w + 2, 3);
    u32 id, made = 0, code = OK;
    for (u32 i = 0; i < N(1); i++) {
      code = proxy_http_call(W(0), map.data, map.size, 0, 0, 0, 0, 1000, &id);
      made += code == OK;
    }
    return put_number(made), put_byte(' '), put_number(code), 1;
  }
  if (IS("hoard")) {
    text value = filled(4096);
    u32 code = OK, n = 0, id = 0;
    char key[8];
    if (N(0) == 1) proxy_register_shared_queue("hoard", 5, &id);
    for (; n < N(1) && code == OK; n++) {
      put_u32(key, n * 0x01010101u), put_u32(key + 4, n);
      for (u32 i = 0; i < 8; i++) key[i] = 'a' + ((n >> (4 * i)) & 15);
      if (N(0) == 0) code = proxy_set_shared_data(key, 8, value.data, value.size, 0);
      if (N(0) == 1) code = proxy_enqueue_shared_queue(id, value.data, value.size);
      if (N(0) == 2) code = proxy_define_metric(0, key, 8, &id);
      if (N(0) == 3) code = proxy_register_shared_queue(key, 8, &id);
      if (N(0) == 4) code = proxy_set_property(key, 8, value.data, value.size);
    }
    return put_number(code), put_byte(' '), put_number(n), 1;
  }
  return -1;
}

/** Pointers and lengths that are not so. */
static int lie(text operation, text *w) {
  char *far = (char *)0xfffffff0u;
  u32 huge = 0xffffffffu, n;
  char *data;
  if (IS("lieallocator")) return lying_allocator = N(0), 0;
  if (!IS("lie")) return -1;
  if (equal(w[0], T("log"))) return status(proxy_log(INFO, far, 256));
  if (equal(w[0], T("loghuge"))) return status(proxy_log(INFO, (char *)16, huge));
  if (equal(w[0], T("key"))) return status(proxy_get_header_map_value(0, far, 64, &data, &n));
  if (equal(w[0], T("result"))) return status(proxy_get_header_map_value(0, ":path", 5, (char **)far, (u32 *)far));
  if (equal(w[0], T("edge"))) return status(proxy_get_header_map_size(0, (u32 *)(__builtin_wasm_memory_size(0) * 65536 - 2)));
  if (equal(w[0], T("value"))) return status(proxy_add_header_map_value(0, "x", 1, far, huge));
  if (equal(w[0], T("body"))) return status(proxy_set_buffer_bytes(0, 0, 0, far, 4096));
  if (equal(w[0], T("map"))) return status(proxy_set_header_map_pairs(0, far, 64));
  if (equal(w[0], T("count"))) {
    char map[12];
    put_u32(map, 0x7fffffff), put_u32(map + 4, 1), put_u32(map + 8, 1);
    return status(proxy_set_header_map_pairs(0, map, sizeof map));
  }
  if (equal(w[0], T("lengths"))) {
    char map[16];
    put_u32(map, 1), put_u32(map + 4, 0xfffffff0u), put_u32(map + 8, 32), put_u32(map + 12, 0);
    return status(proxy_set_header_map_pairs(0, map, sizeof map));
  }
  if (equal(w[0], T("respond"))) return status(proxy_send_local_response(200, far, 99, far, huge, far, 99, -1));
  if (equal(w[0], T("call"))) return status(proxy_http_call(far, 99, far, 99, far, 99, far, 99, 100, (u32 *)far));
  if (equal(w[0], T("shared"))) return status(proxy_set_shared_data(far, 99, far, huge, 0));
  if (equal(w[0], T("random"))) return status(random_get((void *)16, 0x7fffffff));
  if (equal(w[0], T("vector"))) return status(fd_write(1, (iovec *)far, 0x7fffffff, &n));
  return -1;
}

/** @returns 1 when there is something to log, 0 when not, -1 when there is no such operation */
static int operate(text operation, text *w, u32 count) {
  int found = operate_on_fields(operation, w, count);
  if (found < 0) found = operate_on_bodies(operation, w, count);
  if (found < 0) found = operate_on_shared(operation, w, count);
  if (found < 0) found = operate_on_host(operation, w, count);
  if (found < 0) found = misbehave(operation, w);
  if (found < 0) found = lie(operation, w);
  if (found < 0) put(T("no such operation"));
  return found;
}
