// A guest that does what its configuration says. Each line is `hook operation words…`; what an operation gives is logged
// as `hook operation words… -> status value`, all of a hook at once. A hook `requestBody.end` is the one with the end of
// the stream.
#include "operations.h"

#define LENGTH(array) (sizeof(array) / sizeof *array)

static struct {
  u32 id;
  text script;
} plugins[128];
static struct {
  u32 id, plugin;
} streams[8192];
static u32 plugin_count;

static text script_of(u32 context) {
  for (u32 i = 0; i < plugin_count; i++)
    if (plugins[i].id == context) return plugins[i].script;
  u32 slot = context % LENGTH(streams);
  return streams[slot].id == context ? script_of(streams[slot].plugin) : (text){0, 0};
}

static u32 run_line(text all, u32 value) {
  text rest = all, words[maximum_words];
  for (u32 i = 0; i < maximum_words; i++) words[i] = (text){0, 0};
  (void)next_word(&rest);
  text operation = next_word(&rest);
  u32 count = 0;
  while (rest.size && count < maximum_words)
    if ((words[count] = next_word(&rest)).size) count++;
  if (equal(operation, T("return"))) return number(words[0]);
  if (line_size > 2500 || misbehaves(operation)) flush();
  u32 before = line_size;
  if (line_size) put_byte('\n');
  put(all);
  put(T(" -> "));
  if (!operate(operation, words, count)) line_size = before;
  return value;
}

/** Runs the lines of that hook. @returns what the last `return` of them says */
static u32 run(u32 context, text hook, u32 end, u32 value) {
  forget();
  text script = script_of(context);
  line_size = 0;
  current_context = context;
  while (script.size) {
    text all = {script.data, 0};
    while (all.size < script.size && all.data[all.size] != '\n') all.size++;
    u32 step = all.size + (all.size < script.size);
    script.data += step, script.size -= step;
    text rest = all;
    text wanted = next_word(&rest);
    int only_end = wanted.size > 4 && equal((text){wanted.data + wanted.size - 4, 4}, T(".end"));
    if (only_end) wanted.size -= 4;
    if (equal(wanted, hook) && (end || !only_end)) value = run_line(all, value);
  }
  flush();
  return value;
}

EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(u32 size) {
  return lying_allocator ? lie_about(size) : take(size);
}

#if ABI == 10
EXPORT(proxy_abi_version_0_1_0) void abi_version(void) {}
#elif ABI == 20
EXPORT(proxy_abi_version_0_2_0) void abi_version(void) {}
#else
EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}
#endif
EXPORT(_initialize) void initialize(void) {}

EXPORT(proxy_on_vm_start) u32 on_vm_start(u32 context, u32 size) {
  forget();
  text configuration = read_configuration(VM_CONFIGURATION, size);
  put(T("vm start -> "));
  put_value(configuration);
  flush();
  return !equal(configuration, T("refuse"));
}

EXPORT(proxy_on_configure) u32 on_configure(u32 plugin, u32 size) {
  forget();
  plugins[plugin_count].id = plugin;
  plugins[plugin_count++].script = read_configuration(PLUGIN_CONFIGURATION, size);
  keep();
  return run(plugin, T("configure"), 0, 1);
}

EXPORT(proxy_on_context_create) void on_context_create(u32 context, u32 parent) {
  u32 slot = context % LENGTH(streams);
  if (parent) streams[slot].id = context, streams[slot].plugin = parent;
  hook_arguments[0] = context, hook_arguments[1] = parent;
  run(context, T("create"), 0, 0);
}

// Version 0.1.0 does not say of heads whether the stream ends with them.
#if ABI == 10
#define HEAD_HOOK(name, hook) \
  EXPORT(proxy_on_##name) u32 on_##name(u32 context, u32 count) { \
    hook_arguments[0] = count, hook_arguments[1] = 0; \
    return run(context, T(hook), 0, CONTINUE); \
  }
#else
#define HEAD_HOOK(name, hook) \
  EXPORT(proxy_on_##name) u32 on_##name(u32 context, u32 count, u32 end) { \
    hook_arguments[0] = count, hook_arguments[1] = end; \
    return run(context, T(hook), end, CONTINUE); \
  }
#endif
#define BODY_HOOK(name, hook) \
  EXPORT(proxy_on_##name) u32 on_##name(u32 context, u32 size, u32 end) { \
    hook_arguments[0] = size, hook_arguments[1] = end; \
    return run(context, T(hook), end, CONTINUE); \
  }
#define END_HOOK(name, hook, value) \
  EXPORT(proxy_on_##name) u32 on_##name(u32 context) { return run(context, T(hook), 0, value); }
#define PLAIN_HOOK(name, hook) \
  EXPORT(proxy_on_##name) void on_##name(u32 context) { run(context, T(hook), 0, 0); }

HEAD_HOOK(request_headers, "request")
HEAD_HOOK(response_headers, "response")
BODY_HOOK(request_body, "requestBody")
BODY_HOOK(response_body, "responseBody")
EXPORT(proxy_on_request_trailers) u32 on_request_trailers(u32 context, u32 count) {
  hook_arguments[0] = count;
  return run(context, T("requestTrailers"), 1, CONTINUE);
}
EXPORT(proxy_on_response_trailers) u32 on_response_trailers(u32 context, u32 count) {
  hook_arguments[0] = count;
  return run(context, T("responseTrailers"), 1, CONTINUE);
}
END_HOOK(done, "done", 1)
PLAIN_HOOK(log, "log")
PLAIN_HOOK(delete, "delete")
PLAIN_HOOK(tick, "tick")

EXPORT(proxy_on_queue_ready) void on_queue_ready(u32 plugin, u32 queue) {
  last_number = queue;
  run(plugin, T("queue"), 0, 0);
}

EXPORT(proxy_on_http_call_response) void on_http_call_response(u32 plugin, u32 call, u32 count, u32 size, u32 trailers) {
  hook_arguments[0] = count, hook_arguments[1] = size, hook_arguments[2] = trailers;
  // A call is answered in the plugin's context, whoever made it.
  last_context = callers[call % 1024];
  run(plugin, T("call"), 0, 0);
}
