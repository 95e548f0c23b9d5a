/* An example: sessions are never cached, reports live an hour, and what dies of writes lives shorter.
 *
 * on_tick halves the time to live of a hot statement whose entries were found void more often than they were of use.
 */
#include "../perihelion.h"

/* has tells whether a list field has an item. An item that does not fit is none of ours. */
static int has(int32_t field, const char *text) {
  char item[128];
  int32_t n = perihelion_count(field);
  for (int32_t i = 0; i < n; i++)
    if (perihelion_equal(item, perihelion_read(field, i, item, sizeof item), text)) return 1;
  return 0;
}

PERIHELION_HOOK(decide) {
  char application[64];
  int32_t failed = 0;
  if (has(PERIHELION_FIELD_RELATION, "public.sessions")) {
    failed = perihelion_set_int(PERIHELION_DECISION_CACHE, 0);
    return failed ? failed : perihelion_reason("public.sessions is never cached");
  }
  int32_t n = perihelion_read(PERIHELION_FIELD_APPLICATION, 0, application, sizeof application);
  if (perihelion_equal(application, n, "reports")) {
    failed = perihelion_set_int(PERIHELION_DECISION_TTL_MS, 60 * 60 * 1000);
    return failed ? failed : perihelion_reason("reports live an hour");
  }
  return 0;
}

PERIHELION_HOOK(on_tick) {
  for (int32_t i = 0; perihelion_select(i) == 0; i++) {
    int64_t hits = perihelion_get_int(PERIHELION_FIELD_HITS, 0);
    int64_t voided = perihelion_get_int(PERIHELION_FIELD_INVALIDATIONS, 0);
    int64_t ttl = perihelion_get_int(PERIHELION_READ_BACK + PERIHELION_DECISION_TTL_MS, 0);
    if (hits == PERIHELION_NOT_KNOWN || voided <= hits || ttl < 2) continue;
    int32_t failed = perihelion_set_int(PERIHELION_DECISION_TTL_MS, ttl / 2);
    if (failed || (failed = perihelion_add("shortened", 1))) return failed;
  }
  return 0;
}
