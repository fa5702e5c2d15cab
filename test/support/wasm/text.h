// Text of a guest in C: words, numbers, header maps.
#pragma once
#include "memory.h"

typedef struct {
  char *data;
  u32 size;
} text;

#define T(literal) ((text){(char *)literal, sizeof(literal) - 1})

static int equal(text a, text b) {
  if (a.size != b.size) return 0;
  for (u32 i = 0; i < a.size; i++)
    if (a.data[i] != b.data[i]) return 0;
  return 1;
}

static u64 number(text word) {
  u64 value = 0;
  for (u32 i = word.size && word.data[0] == '-'; i < word.size; i++) value = value * 10 + (word.data[i] - '0');
  return word.size && word.data[0] == '-' ? -value : value;
}

/** What is to be logged. */
static char line[8192];
static u32 line_size;
static void flush(void) {
  if (line_size) proxy_log(INFO, line, line_size);
  line_size = 0;
}
static void put_byte(char byte) {
  if (line_size < sizeof line) line[line_size++] = byte;
}
static void put(text t) {
  for (u32 i = 0; i < t.size; i++) put_byte(t.data[i]);
}
static void put_number(u64 value) {
  char digits[20];
  u32 n = 0;
  do digits[n++] = '0' + value % 10;
  while (value /= 10);
  while (n) put_byte(digits[--n]);
}
/** What is not printable, and `%`, as `%XX`. */
static void put_encoded(text t, u8 least) {
  const char *hex = "0123456789ABCDEF";
  for (u32 i = 0; i < t.size; i++) {
    u8 byte = t.data[i];
    if (byte >= least && byte < 127 && byte != '%') put_byte(byte);
    else put_byte('%'), put_byte(hex[byte >> 4]), put_byte(hex[byte & 15]);
  }
}

static void put_value(text t) { put_encoded(t, ' '); }

static u32 digit(char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

/** The next word of a line, `%XX` decoded; empty at its end. */
static text next_word(text *rest) {
  while (rest->size && rest->data[0] == ' ') rest->data++, rest->size--;
  text word = {take(rest->size), 0};
  while (rest->size && rest->data[0] != ' ') {
    u32 step = rest->data[0] == '%' && rest->size > 2 ? 3 : 1;
    word.data[word.size++] = step == 3 ? digit(rest->data[1]) << 4 | digit(rest->data[2]) : rest->data[0];
    rest->data += step, rest->size -= step;
  }
  return word;
}

static void put_u32(char *to, u32 value) { memcpy(to, &value, 4); }
static u32 get_u32(const char *from) {
  u32 value;
  memcpy(&value, from, 4);
  return value;
}

/** Words `key=value` as the ABI writes a header map; a key may begin with `:`. */
static text map_of(text *words, u32 count) {
  u32 size = 4;
  for (u32 i = 0; i < count; i++) size += 9 + words[i].size;
  text map = {take(size), 4 + count * 8};
  put_u32(map.data, count);
  for (u32 i = 0; i < count; i++) {
    u32 cut = 0;
    while (cut < words[i].size && words[i].data[cut] != '=') cut++;
    u32 rest = words[i].size - cut - (cut < words[i].size);
    put_u32(map.data + 4 + i * 8, cut);
    put_u32(map.data + 8 + i * 8, rest);
    memcpy(map.data + map.size, words[i].data, cut);
    map.data[map.size + cut] = 0;
    map.size += cut + 1;
    memcpy(map.data + map.size, words[i].data + words[i].size - rest, rest);
    map.data[map.size + rest] = 0;
    map.size += rest + 1;
  }
  return map;
}

/** Writes a header map out as `key=value key=value`, spaces encoded. */
static void put_map(text map) {
  u32 count = map.size < 4 ? 0 : get_u32(map.data);
  const char *at = map.data + 4 + count * 8;
  for (u32 i = 0; i < count; i++) {
    u32 key = get_u32(map.data + 4 + i * 8), value = get_u32(map.data + 8 + i * 8);
    if (i) put_byte(' ');
    put_encoded((text){(char *)at, key}, '!');
    put_byte('=');
    put_encoded((text){(char *)at + key + 1, value}, '!');
    at += key + value + 2;
  }
}
