//! The Rust SDK for Perihelion's policies: WebAssembly modules that decide which statements' results are cached, and for
//! how long. What the host answers and takes is in [`abi`]; here is what makes it fit for Rust: strings instead of an
//! address and a length, and results. A whole policy:
//!
//! ```ignore
//! #[path = "../src/lib.rs"]
//! mod perihelion;
//! use perihelion::{decision, field, hook, set_int, text, Outcome};
//!
//! fn decided() -> Outcome {
//!     if text(field::APPLICATION, 0).as_deref() == Some("reports") {
//!         set_int(decision::TTL_MS, 3_600_000)?;
//!     }
//!     Ok(())
//! }
//!
//! #[no_mangle]
//! pub extern "C" fn decide() -> i32 {
//!     hook(decided())
//! }
//! ```
//!
//! A hook that fails makes the statement bypass the cache. example/build.sh builds a policy.
#![allow(dead_code)]

#[path = "abi.rs"]
pub mod abi;

#[allow(unused_imports)]
pub use abi::{decision, field, level, log_level, max, result, share, verdict, READ_BACK};

/// What a function of the host came to: an error is one of [`result`].
pub type Outcome = Result<(), i32>;

/// Turns what came of a hook into what the host wants of it.
pub fn hook(outcome: Outcome) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(code) => code,
    }
}

fn check(code: i32) -> Outcome {
    if code < 0 {
        Err(code)
    } else {
        Ok(())
    }
}

fn address(bytes: &[u8]) -> i32 {
    bytes.as_ptr() as i32
}

/// Asks for bytes until there was room for them. Once more is enough for a host that keeps its word.
fn read(ask: impl Fn(i32, i32) -> i32) -> Result<String, i32> {
    let mut buffer: Vec<u8> = Vec::with_capacity(64);
    for _ in 0..3 {
        let n = ask(buffer.as_mut_ptr() as i32, buffer.capacity() as i32);
        check(n)?;
        if n as usize <= buffer.capacity() {
            unsafe { buffer.set_len(n as usize) } // the host has written so many
            return Ok(String::from_utf8(buffer).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()));
        }
        buffer = Vec::with_capacity(n as usize);
    }
    Err(result::BOUNDS)
}

/// A byte field, item index of a list; nothing where the host does not know it.
pub fn text(field: i32, index: i32) -> Option<String> {
    read(|buf, cap| unsafe { abi::get_bytes(field, index, buf, cap) }).ok()
}

/// A list of bytes, empty where the host does not know it.
pub fn list(field: i32) -> Vec<String> {
    let n = unsafe { abi::count(field) };
    (0..n).filter_map(|i| text(field, i)).collect()
}

/// Whether a list field has an item. It costs less than to look through [`list`].
pub fn has(field: i32, value: &str) -> bool {
    let want = value.as_bytes();
    let mut buffer = vec![0u8; want.len()];
    let n = unsafe { abi::count(field) };
    (0..n).any(|i| {
        let length = unsafe { abi::get_bytes(field, i, buffer.as_mut_ptr() as i32, want.len() as i32) };
        length >= 0 && length as usize == want.len() && buffer == want
    })
}

/// An integer field, or, with [`READ_BACK`] + a decision, that decision as it stands.
pub fn int(field: i32, index: i32) -> Option<i64> {
    match unsafe { abi::get_int(field, index) } {
        abi::NOT_KNOWN => None,
        n => Some(n),
    }
}

/// States an integer part of the decision.
pub fn set_int(decision: i32, value: i64) -> Outcome {
    check(unsafe { abi::set_int(decision, value) })
}

/// States a byte part of the decision: why, or one more tag.
pub fn set_text(decision: i32, value: &str) -> Outcome {
    check(unsafe { abi::set_bytes(decision, address(value.as_bytes()), value.len() as i32) })
}

/// Lets fields and decisions speak of hot statement i, in on_tick; whether there is one.
pub fn select(i: i32) -> bool {
    unsafe { abi::select(i) == 0 }
}

/// The configuration, as JSON.
pub fn configuration() -> Result<String, i32> {
    read(|buf, cap| unsafe { abi::config(buf, cap) })
}

/// The value of a key of the policy's store, which is one per tenant.
pub fn get(key: &str) -> Option<String> {
    let (k, n) = (address(key.as_bytes()), key.len() as i32);
    read(|buf, cap| unsafe { abi::kv_get(k, n, buf, cap) }).ok()
}

/// Gives a key of the store a value for some time, 0 for good.
pub fn set(key: &str, value: &str, ttl_ms: i64) -> Outcome {
    let (k, v) = (key.as_bytes(), value.as_bytes());
    check(unsafe { abi::kv_set(address(k), k.len() as i32, address(v), v.len() as i32, ttl_ms) })
}

/// Adds to a counter of the policy's own.
pub fn add(counter: &str, delta: i64) -> Outcome {
    check(unsafe { abi::metric_add(address(counter.as_bytes()), counter.len() as i32, delta) })
}

/// The node's wall clock, in Unix milliseconds.
pub fn now_ms() -> i64 {
    unsafe { abi::now_ms() }
}

/// Writes a line to the node's log.
pub fn say(level: i32, line: &str) {
    unsafe { abi::log(level, address(line.as_bytes()), line.len() as i32) }
}
