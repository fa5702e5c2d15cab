// The proxy-wasm ABI as a guest in C sees it: names and numbers of the specification's versions 0.1.0, 0.2.0 and 0.2.1
// (https://github.com/proxy-wasm/spec). ABI is 10, 20 or 21.
#pragma once
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef ABI
#define ABI 21
#endif

#define HOST(module, name) __attribute__((import_module(module), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

enum { OK, NOT_FOUND, BAD_ARGUMENT, SERIALIZATION_FAILURE, PARSE_FAILURE, INVALID_MEMORY_ACCESS = 6, EMPTY, CAS_MISMATCH, UNIMPLEMENTED = 12 };
enum { CONTINUE, PAUSE };
enum { TRACE, DEBUG, INFO, WARN, ERROR, CRITICAL };
enum { REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS };
enum { REQUEST_BODY, RESPONSE_BODY, CALL_RESPONSE_BODY = 4, VM_CONFIGURATION = 6, PLUGIN_CONFIGURATION };

HOST("env", proxy_log) u32 proxy_log(u32 level, const char *text, u32 size);
HOST("env", proxy_get_header_map_size) u32 proxy_get_header_map_size(u32 map, u32 *size);
HOST("env", proxy_get_header_map_pairs) u32 proxy_get_header_map_pairs(u32 map, char **data, u32 *size);
HOST("env", proxy_set_header_map_pairs) u32 proxy_set_header_map_pairs(u32 map, const char *data, u32 size);
HOST("env", proxy_get_header_map_value) u32 proxy_get_header_map_value(u32 map, const char *key, u32 key_size, char **value, u32 *size);
HOST("env", proxy_add_header_map_value) u32 proxy_add_header_map_value(u32 map, const char *key, u32 key_size, const char *value, u32 size);
HOST("env", proxy_replace_header_map_value) u32 proxy_replace_header_map_value(u32 map, const char *key, u32 key_size, const char *value, u32 size);
HOST("env", proxy_remove_header_map_value) u32 proxy_remove_header_map_value(u32 map, const char *key, u32 key_size);
HOST("env", proxy_get_buffer_bytes) u32 proxy_get_buffer_bytes(u32 buffer, u32 start, u32 max, char **data, u32 *size);
HOST("env", proxy_set_buffer_bytes) u32 proxy_set_buffer_bytes(u32 buffer, u32 start, u32 size, const char *data, u32 data_size);
HOST("env", proxy_get_buffer_status) u32 proxy_get_buffer_status(u32 buffer, u32 *size, u32 *unused);
HOST("env", proxy_send_local_response) u32 proxy_send_local_response(u32 status, const char *details, u32 details_size, const char *body, u32 body_size, const char *pairs, u32 pairs_size, u32 grpc_status);
HOST("env", proxy_http_call) u32 proxy_http_call(const char *upstream, u32 upstream_size, const char *pairs, u32 pairs_size, const char *body, u32 body_size, const char *trailers, u32 trailers_size, u32 timeout, u32 *id);
HOST("env", proxy_set_tick_period_milliseconds) u32 proxy_set_tick_period_milliseconds(u32 period);
HOST("env", proxy_get_current_time_nanoseconds) u32 proxy_get_current_time_nanoseconds(u64 *time);
HOST("env", proxy_set_effective_context) u32 proxy_set_effective_context(u32 context);
HOST("env", proxy_done) u32 proxy_done(void);
HOST("env", proxy_get_property) u32 proxy_get_property(const char *path, u32 path_size, char **value, u32 *size);
HOST("env", proxy_set_property) u32 proxy_set_property(const char *path, u32 path_size, const char *value, u32 size);
HOST("env", proxy_get_shared_data) u32 proxy_get_shared_data(const char *key, u32 key_size, char **value, u32 *size, u32 *cas);
HOST("env", proxy_set_shared_data) u32 proxy_set_shared_data(const char *key, u32 key_size, const char *value, u32 size, u32 cas);
HOST("env", proxy_register_shared_queue) u32 proxy_register_shared_queue(const char *name, u32 size, u32 *id);
HOST("env", proxy_resolve_shared_queue) u32 proxy_resolve_shared_queue(const char *vm, u32 vm_size, const char *name, u32 size, u32 *id);
HOST("env", proxy_enqueue_shared_queue) u32 proxy_enqueue_shared_queue(u32 id, const char *value, u32 size);
HOST("env", proxy_dequeue_shared_queue) u32 proxy_dequeue_shared_queue(u32 id, char **value, u32 *size);
HOST("env", proxy_define_metric) u32 proxy_define_metric(u32 type, const char *name, u32 size, u32 *id);
HOST("env", proxy_record_metric) u32 proxy_record_metric(u32 id, u64 value);
HOST("env", proxy_increment_metric) u32 proxy_increment_metric(u32 id, i64 delta);
HOST("env", proxy_get_metric) u32 proxy_get_metric(u32 id, u64 *value);
HOST("env", proxy_get_status) u32 proxy_get_status(u32 *code, char **text, u32 *size);
HOST("env", proxy_call_foreign_function) u32 proxy_call_foreign_function(const char *name, u32 size, const char *arguments, u32 arguments_size, char **results, u32 *results_size);
HOST("env", proxy_grpc_call) u32 proxy_grpc_call(const char *upstream, u32 upstream_size, const char *service, u32 service_size, const char *method, u32 method_size, const char *metadata, u32 metadata_size, const char *message, u32 message_size, u32 timeout, u32 *id);
HOST("env", proxy_grpc_stream) u32 proxy_grpc_stream(const char *upstream, u32 upstream_size, const char *service, u32 service_size, const char *method, u32 method_size, const char *metadata, u32 metadata_size, u32 *id);
HOST("env", proxy_grpc_send) u32 proxy_grpc_send(u32 id, const char *message, u32 size, u32 end);
HOST("env", proxy_grpc_cancel) u32 proxy_grpc_cancel(u32 id);
HOST("env", proxy_grpc_close) u32 proxy_grpc_close(u32 id);

#if ABI == 10
HOST("env", proxy_get_configuration) u32 proxy_get_configuration(char **value, u32 *size);
HOST("env", proxy_continue_request) u32 proxy_continue_request(void);
HOST("env", proxy_continue_response) u32 proxy_continue_response(void);
HOST("env", proxy_clear_route_cache) u32 proxy_clear_route_cache(void);
#define WASI "wasi_unstable"
#else
HOST("env", proxy_continue_stream) u32 proxy_continue_stream(u32 stream);
HOST("env", proxy_close_stream) u32 proxy_close_stream(u32 stream);
#define WASI "wasi_snapshot_preview1"
#endif
#if ABI == 21
HOST("env", proxy_get_log_level) u32 proxy_get_log_level(u32 *level);
#endif

typedef struct {
  const char *data;
  u32 size;
} iovec;
HOST(WASI, fd_write) u32 fd_write(u32 fd, const iovec *parts, u32 count, u32 *written);
HOST(WASI, clock_time_get) u32 clock_time_get(u32 clock, u64 precision, u64 *time);
HOST(WASI, random_get) u32 random_get(void *data, u32 size);
HOST(WASI, environ_sizes_get) u32 environ_sizes_get(u32 *count, u32 *size);
HOST(WASI, environ_get) u32 environ_get(char **variables, char *data);
HOST(WASI, args_sizes_get) u32 args_sizes_get(u32 *count, u32 *size);
HOST(WASI, args_get) u32 args_get(char **arguments, char *data);
HOST(WASI, proc_exit) void proc_exit(u32 code);
