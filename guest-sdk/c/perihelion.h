/* The C SDK for Perihelion's policies: WebAssembly modules that decide which statements' results are cached, and for how
 * long. What the host answers and takes is in perihelion_abi.h; here is what makes it fit for C: text instead of an
 * address and a length. Nothing here allocates, and nothing needs a library. A whole policy:
 *
 *   #include "perihelion.h"
 *
 *   PERIHELION_HOOK(decide) {
 *     char application[64];
 *     if (perihelion_equal(application, perihelion_read(PERIHELION_FIELD_APPLICATION, 0, application, sizeof application), "reports"))
 *       return perihelion_set_int(PERIHELION_DECISION_TTL_MS, 3600000);
 *     return 0;
 *   }
 *
 * A hook returns 0 for success; anything else makes the statement bypass the cache, so the result of a function that
 * failed can be returned as it is. example/build.sh builds a policy.
 */
#ifndef PERIHELION_H
#define PERIHELION_H

#include <stddef.h>

#include "perihelion_abi.h"

/* perihelion_address is where something lies, as the host wants it. */
static inline int32_t perihelion_address(const void *p) { return (int32_t)(uintptr_t)p; }

static inline int32_t perihelion_length(const char *text) {
  int32_t n = 0;
  while (text[n]) n++;
  return n;
}

/* perihelion_equal tells whether a read, of n bytes, is a text. It is not where the read failed. A text that did not fit
 * its buffer is compared with nothing: see perihelion_fits. */
static inline int perihelion_equal(const char *read, int32_t n, const char *text) {
  if (n != perihelion_length(text)) return 0;
  for (int32_t i = 0; i < n; i++)
    if (read[i] != text[i]) return 0;
  return 1;
}

/* perihelion_fits tells whether what was read lies in a buffer of so many bytes. */
static inline int perihelion_fits(int32_t n, size_t capacity) { return n >= 0 && (size_t)n <= capacity; }

/* perihelion_read reads a byte field, item index of a list, and returns its length. A length over the capacity means that
 * nothing was written; below 0, it is a result. */
static inline int32_t perihelion_read(int32_t field, int32_t index, char *buf, size_t capacity) {
  return perihelion_get_bytes(field, index, perihelion_address(buf), (int32_t)capacity);
}

/* perihelion_configuration reads the configuration, as JSON, likewise. */
static inline int32_t perihelion_configuration(char *buf, size_t capacity) {
  return perihelion_config(perihelion_address(buf), (int32_t)capacity);
}

/* perihelion_reason says why, to people. perihelion_tag adds a tag. */
static inline int32_t perihelion_reason(const char *text) {
  return perihelion_set_bytes(PERIHELION_DECISION_REASON, perihelion_address(text), perihelion_length(text));
}
static inline int32_t perihelion_tag(const char *text) {
  return perihelion_set_bytes(PERIHELION_DECISION_TAG, perihelion_address(text), perihelion_length(text));
}

/* perihelion_get and perihelion_set read and write the policy's store, which is one per tenant. */
static inline int32_t perihelion_get(const char *key, void *buf, size_t capacity) {
  return perihelion_kv_get(perihelion_address(key), perihelion_length(key), perihelion_address(buf), (int32_t)capacity);
}
static inline int32_t perihelion_set(const char *key, const void *value, size_t length, int64_t ttl_ms) {
  return perihelion_kv_set(perihelion_address(key), perihelion_length(key), perihelion_address(value), (int32_t)length, ttl_ms);
}

/* perihelion_add adds to a counter of the policy's own. */
static inline int32_t perihelion_add(const char *counter, int64_t delta) {
  return perihelion_metric_add(perihelion_address(counter), perihelion_length(counter), delta);
}

/* perihelion_say writes a line to the node's log. */
static inline void perihelion_say(int32_t level, const char *text) {
  perihelion_log(level, perihelion_address(text), perihelion_length(text));
}

#endif
