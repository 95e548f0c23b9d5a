// An example: sessions are never cached, reports live an hour, and what dies of writes lives shorter. It is the one of
// the C SDK, in another language.
import { Decision, Field, add, get_int, has, notKnown, readBack, reason, select_, set_int, text } from "../index";

export function decide(): i32 {
  if (has(Field.RELATION, "public.sessions")) {
    const failed = set_int(Decision.CACHE, 0);
    return failed ? failed : reason("public.sessions is never cached");
  }
  const application = text(Field.APPLICATION);
  if (application !== null && application == "reports") {
    const failed = set_int(Decision.TTL_MS, 60 * 60 * 1000);
    return failed ? failed : reason("reports live an hour");
  }
  return 0;
}

// on_tick halves the time to live of a hot statement whose entries were found void more often than they were of use.
export function on_tick(): i32 {
  for (let i = 0; select_(i) == 0; i++) {
    const hits = get_int(Field.HITS, 0);
    const voided = get_int(Field.INVALIDATIONS, 0);
    const ttl = get_int(readBack + Decision.TTL_MS, 0);
    if (hits == notKnown || voided <= hits || ttl < 2) continue;
    let failed = set_int(Decision.TTL_MS, ttl / 2);
    if (!failed) failed = add("shortened");
    if (failed) return failed;
  }
  return 0;
}
