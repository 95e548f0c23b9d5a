// The conformance kit's guest in C, without a library: it makes the calls that a script names, and logs what they
// answered. The script language is described in script.go.
#include "../../c/perihelion_abi.h"

static char script[4096];
static char scratch[72 * 1024];
static char line[1024];
static int line_length;
static int calls; // of this instance
static volatile int32_t sink;

static void put(char c) {
  if (line_length < (int)sizeof line) line[line_length++] = c;
}

static void put_text(const char *text, int n) {
  for (int i = 0; i < n; i++) put(text[i]);
}

static void put_number(int64_t n) {
  char digits[20];
  int i = 0;
  uint64_t u = n < 0 ? -(uint64_t)n : (uint64_t)n;
  if (n < 0) put('-');
  do digits[i++] = '0' + u % 10; while (u /= 10);
  while (i > 0) put(digits[--i]);
}

// A word is what stands between two spaces: at and length in the script.
struct word {
  const char *at;
  int length;
};

static int is(struct word w, const char *text) {
  int i = 0;
  for (; i < w.length && text[i]; i++)
    if (w.at[i] != text[i]) return 0;
  return i == w.length && !text[i];
}

static int64_t number(const char *at, int length) {
  uint64_t n = 0;
  int i = 0, negative = length > 0 && at[0] == '-';
  for (i = negative; i < length; i++) n = n * 10 + (uint64_t)(at[i] - '0');
  return (int64_t)(negative ? -n : n);
}

// An argument is a number, '@' and an offset in the scratch space, '!' and an offset from the end of memory, or '\'' and
// text, which stands for its address.
static int64_t argument(struct word w) {
  if (w.length == 0) return 0;
  switch (w.at[0]) {
  case '@': return (int64_t)(uintptr_t)scratch + number(w.at + 1, w.length - 1);
  case '!': return ((int64_t)__builtin_wasm_memory_size(0) << 16) + number(w.at + 1, w.length - 1);
  case '\'': return (int64_t)(uintptr_t)(w.at + 1);
  }
  return number(w.at, w.length);
}

static __attribute__((noinline)) int32_t recurse(int32_t n) { return sink ? 0 : recurse(n + 1) + n; }

#define P(n) ((char *)(uintptr_t)(uint32_t)a[n])
#define I(n) ((int32_t)a[n])

// step runs one line, and returns whether the hook is to end with a code.
static int step(struct word *w, int n, int32_t *code) {
  int64_t a[8] = {0};
  for (int i = 1; i < n && i < 8; i++) a[i - 1] = argument(w[i]);
  if (is(w[0], "return")) { *code = I(0); return 1; }
  if (is(w[0], "trap")) __builtin_trap();
  if (is(w[0], "loop")) for (;;) sink = 0;
  if (is(w[0], "recurse")) { sink = recurse(0); return 0; }
  if (is(w[0], "fill")) { // memory that holds the same byte: an address, a length, a byte
    for (int64_t i = 0; i < a[1]; i++) ((volatile char *)P(0))[i] = (char)a[2];
    return 0;
  }
  put(' ');
  if (is(w[0], "show")) put_text(P(0), I(1));
  else if (is(w[0], "calls")) put_number(calls);
  else if (is(w[0], "get_int")) put_number(perihelion_get_int(I(0), I(1)));
  else if (is(w[0], "get_bytes")) put_number(perihelion_get_bytes(I(0), I(1), I(2), I(3)));
  else if (is(w[0], "count")) put_number(perihelion_count(I(0)));
  else if (is(w[0], "set_int")) put_number(perihelion_set_int(I(0), a[1]));
  else if (is(w[0], "set_bytes")) put_number(perihelion_set_bytes(I(0), I(1), I(2)));
  else if (is(w[0], "select")) put_number(perihelion_select(I(0)));
  else if (is(w[0], "config")) put_number(perihelion_config(I(0), I(1)));
  else if (is(w[0], "now_ms")) put_number(perihelion_now_ms());
  else if (is(w[0], "kv_get")) put_number(perihelion_kv_get(I(0), I(1), I(2), I(3)));
  else if (is(w[0], "kv_set")) put_number(perihelion_kv_set(I(0), I(1), I(2), I(3), a[4]));
  else if (is(w[0], "metric_add")) put_number(perihelion_metric_add(I(0), I(1), a[2]));
  else if (is(w[0], "log")) { perihelion_log(I(0), I(1), I(2)); put('-'); }
  else { put('?'); put_text(w[0].at, w[0].length); }
  return 0;
}

// run runs the lines of the script that begin with the hook's name, and logs what they answered.
static int32_t run(const char *hook, int length) {
  int32_t result = 0;
  calls++;
  line_length = 0;
  for (const char *name = hook; *name; name++) put(*name);
  put(':');
  int32_t answers = 0;
  for (int at = 0; at < length;) {
    struct word w[10];
    int n = 0;
    while (at < length && script[at] != '\n') {
      if (script[at] == ' ') { at++; continue; }
      int start = at;
      while (at < length && script[at] != ' ' && script[at] != '\n') at++;
      if (n < 10) w[n++] = (struct word){script + start, at - start};
    }
    at++;
    if (n < 2 || !is(w[0], hook)) continue;
    answers = 1;
    if (step(w + 1, n - 1, &result)) break;
  }
  if (answers) perihelion_log(PERIHELION_LOG_INFO, (int32_t)(uintptr_t)line, line_length);
  return result;
}

// asked runs the script that the statement's SQL is.
static int32_t asked(const char *hook) {
  int32_t length = perihelion_get_bytes(PERIHELION_FIELD_SQL, 0, (int32_t)(uintptr_t)script, sizeof script);
  return run(hook, length < 0 || length > (int32_t)sizeof script ? 0 : length);
}

PERIHELION_HOOK(configure) {
  int32_t length = perihelion_config((int32_t)(uintptr_t)script, sizeof script);
  return run("configure", length < 0 || length > (int32_t)sizeof script ? 0 : length);
}
PERIHELION_HOOK(decide) { return asked("decide"); }
PERIHELION_HOOK(on_result) { return asked("on_result"); }
PERIHELION_HOOK(on_tick) { return asked("on_tick"); }

// A compiler calls these on its own.
void *memset(void *to, int c, unsigned long n) {
  for (unsigned long i = 0; i < n; i++) ((volatile char *)to)[i] = (char)c;
  return to;
}
void *memcpy(void *to, const void *from, unsigned long n) {
  for (unsigned long i = 0; i < n; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}
