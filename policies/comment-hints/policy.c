/* comment-hints: a comment of the statement says how long its result may live. README.md says how. */
#include "../../guest-sdk/c/perihelion.h"

/* The longest time to live that the ABI takes: 7 days. */
#define MOST_MS 604800000LL

/* duration reads 500ms, 30s, 10m, 2h or 0, from i to n, in milliseconds; -1: it is none of these, or over the most. */
static int64_t duration(const char *text, int32_t i, int32_t n) {
  int64_t value = 0, unit = 0;
  int32_t start = i;
  while (i < n && text[i] >= '0' && text[i] <= '9') {
    value = value * 10 + (text[i++] - '0');
    if (value > MOST_MS) return -1;
  }
  if (i == start) return -1;
  if (i == n) return value == 0 ? 0 : -1;
  if (perihelion_equal(text + i, n - i, "ms")) unit = 1;
  if (perihelion_equal(text + i, n - i, "s")) unit = 1000;
  if (perihelion_equal(text + i, n - i, "m")) unit = 60 * 1000;
  if (perihelion_equal(text + i, n - i, "h")) unit = 60 * 60 * 1000;
  value *= unit;
  return unit == 0 || value > MOST_MS ? -1 : value;
}

static int32_t bypass(const char *why) {
  int32_t failed = perihelion_set_int(PERIHELION_DECISION_CACHE, 0);
  return failed ? failed : perihelion_reason(why);
}

PERIHELION_HOOK(decide) {
  static const char key[] = "perihelion:ttl=";
  const int32_t prefix = sizeof key - 1;
  int64_t least = -1;
  int32_t n = perihelion_count(PERIHELION_FIELD_COMMENT);
  if (n < 0) return n;
  for (int32_t i = 0; i < n; i++) {
    char pair[1024];
    int32_t length = perihelion_read(PERIHELION_FIELD_COMMENT, i, pair, sizeof pair);
    if (length < 0) return length;
    /* A hint is short: what does not fit is another's. */
    if (!perihelion_fits(length, sizeof pair) || length < prefix || !perihelion_equal(pair, prefix, key)) continue;
    int64_t ttl = duration(pair, prefix, length);
    if (ttl < 0) return bypass("the comment's perihelion:ttl is no duration such as 30s");
    if (least < 0 || ttl < least) least = ttl;
  }
  if (least < 0) return 0;
  if (least == 0) return bypass("its comment says not to cache it");
  if (perihelion_get_int(PERIHELION_READ_BACK + PERIHELION_DECISION_CACHE, 0) != 1) return 0; /* not for a comment to change */
  int32_t failed = perihelion_set_int(PERIHELION_DECISION_TTL_MS, least);
  return failed ? failed : perihelion_reason("its comment says how long");
}
