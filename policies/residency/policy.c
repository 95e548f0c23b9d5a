/* residency: what was read from the relations that its configuration names never leaves the home. README.md says how. */
#include "../../guest-sdk/c/perihelion.h"

enum { MAX_NAMES = 64, MAX_TEXT = 8192 };

/* What configure leaves; an instance has its configuration for life. The names lie in text, one after the other. */
static char text[MAX_TEXT];
static struct { int32_t at, length; } names[MAX_NAMES];
static int32_t count;

static int32_t refuse(const char *why) {
  perihelion_say(PERIHELION_LOG_ERROR, why);
  return 1;
}

static int32_t blank(int32_t i, int32_t n) {
  while (i < n && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r')) i++;
  return i;
}

/* word tells whether a word comes at i. */
static int word(int32_t i, int32_t n, const char *w) {
  int32_t length = perihelion_length(w);
  return i + length <= n && perihelion_equal(text + i, length, w);
}

/* The configuration is {"relations":["schema.table", ...]} and nothing else: what it cannot be read as is refused, since
 * a relation that was overlooked would leave the home. */
PERIHELION_HOOK(configure) {
  const char *shape = "config has to be relations: with a list of schema.table in plain ASCII, without quotes and backslashes";
  int32_t n = perihelion_configuration(text, sizeof text);
  if (n < 0) return n;
  if (!perihelion_fits(n, sizeof text)) return refuse("config is larger than 8 KiB");
  int32_t i = blank(0, n);
  if (i == n || text[i++] != '{') return refuse(shape);
  i = blank(i, n);
  if (!word(i, n, "\"relations\"")) return refuse(shape);
  i = blank(i + 11, n);
  if (i == n || text[i++] != ':') return refuse(shape);
  i = blank(i, n);
  if (i == n || text[i++] != '[') return refuse(shape);
  for (;;) {
    i = blank(i, n);
    if (i == n || text[i++] != '"') return refuse(shape);
    int32_t start = i, dots = 0;
    while (i < n && text[i] != '"') {
      if (text[i] == '\\' || text[i] < ' ' || text[i] > '~') return refuse(shape);
      if (text[i] == '.') dots++;
      i++;
    }
    if (i == n || dots == 0 || text[start] == '.' || text[i - 1] == '.') return refuse(shape);
    if (count == MAX_NAMES) return refuse("config names more than 64 relations");
    names[count].at = start;
    names[count++].length = i++ - start;
    i = blank(i, n);
    if (i == n) return refuse(shape);
    if (text[i] == ']') break;
    if (text[i++] != ',') return refuse(shape);
  }
  i = blank(i + 1, n);
  if (i == n || text[i++] != '}' || blank(i, n) != n) return refuse(shape);
  return 0;
}

static int named(const char *relation, int32_t length) {
  for (int32_t k = 0; k < count; k++) {
    int32_t j = 0;
    if (names[k].length != length) continue;
    while (j < length && text[names[k].at + j] == relation[j]) j++;
    if (j == length) return 1;
  }
  return 0;
}

PERIHELION_HOOK(decide) {
  char relation[512];
  int32_t n = perihelion_count(PERIHELION_FIELD_RELATION);
  if (n < 0) return n;
  for (int32_t i = 0; i < n; i++) {
    int32_t length = perihelion_read(PERIHELION_FIELD_RELATION, i, relation, sizeof relation);
    if (length < 0) return length;
    /* A name that does not fit may be any. */
    if (perihelion_fits(length, sizeof relation) && !named(relation, length)) continue;
    int32_t failed = perihelion_set_int(PERIHELION_DECISION_EDGES, 0);
    return failed ? failed : perihelion_reason("a relation of it never leaves the home");
  }
  return 0;
}
