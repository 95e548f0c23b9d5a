//! An example: sessions are never cached, reports live an hour, and what dies of writes lives shorter. It is the one of
//! the C SDK, in another language.

#[path = "../src/lib.rs"]
mod perihelion;
use perihelion::{add, decision, field, has, hook, int, select, set_int, set_text, text, Outcome, READ_BACK};

fn decided() -> Outcome {
    if has(field::RELATION, "public.sessions") {
        set_int(decision::CACHE, 0)?;
        return set_text(decision::REASON, "public.sessions is never cached");
    }
    if text(field::APPLICATION, 0).as_deref() == Some("reports") {
        set_int(decision::TTL_MS, 60 * 60 * 1000)?;
        return set_text(decision::REASON, "reports live an hour");
    }
    Ok(())
}

/// Halves the time to live of a hot statement whose entries were found void more often than they were of use.
fn ticked() -> Outcome {
    let mut i = 0;
    while select(i) {
        i += 1;
        let ttl = int(READ_BACK + decision::TTL_MS, 0).unwrap_or(0);
        match (int(field::HITS, 0), int(field::INVALIDATIONS, 0)) {
            (Some(hits), Some(voided)) if voided > hits && ttl >= 2 => {
                set_int(decision::TTL_MS, ttl / 2)?;
                add("shortened", 1)?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[no_mangle]
pub extern "C" fn decide() -> i32 {
    hook(decided())
}

#[no_mangle]
pub extern "C" fn on_tick() -> i32 {
    hook(ticked())
}
