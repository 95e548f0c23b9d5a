//! The conformance kit's guest in Rust: it makes the calls that a script names, and logs what they answered. The script
//! language is described in package tck.

#[path = "../../rust/src/abi.rs"]
#[allow(dead_code)]
mod abi;

const SCRIPT: usize = 4096;
const SCRATCH: usize = 72 << 10;

// The buffers are the program's for good, so that an address in them stays what it is.
static mut BUFFER: [u8; SCRIPT] = [0; SCRIPT];
static mut SPACE: [u8; SCRATCH] = [0; SCRATCH];
static mut CALLS: i64 = 0;
static mut SINK: i32 = 0;

fn script() -> i32 {
    unsafe { BUFFER.as_ptr() as i32 }
}

/// A number; @ and an offset in the scratch space; ! and an offset from the end of memory; or an apostrophe and text,
/// which stands for its address.
fn argument(word: &'static str) -> i64 {
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    match word.as_bytes()[0] {
        b'@' => unsafe { SPACE.as_ptr() as i64 + number(&word[1..]) },
        b'!' => ((core::arch::wasm32::memory_size(0) as i64) << 16) + number(&word[1..]),
        b'\'' => word.as_ptr() as i64 + 1,
        _ => number(word),
    }
}

#[inline(never)]
fn recurse(n: i32) -> i32 {
    unsafe {
        if core::ptr::read_volatile(core::ptr::addr_of!(SINK)) != 0 {
            0
        } else {
            recurse(n + 1) ^ n
        }
    }
}

/// Runs one line. Some says that the hook is to end.
fn step(words: &[&'static str], line: &mut String) -> Option<i32> {
    let mut a = [0i64; 8];
    for (i, word) in words[1..].iter().take(8).enumerate() {
        a[i] = argument(word);
    }
    let i = |n: usize| a[n] as i32;
    let answer: i64 = unsafe {
        match words[0] {
            "return" => return Some(i(0)),
            "trap" => core::arch::wasm32::unreachable(),
            "loop" => loop {
                core::ptr::write_volatile(core::ptr::addr_of_mut!(SINK), 0);
            },
            "recurse" => {
                let n = recurse(0);
                core::ptr::write_volatile(core::ptr::addr_of_mut!(SINK), n);
                return None;
            }
            "fill" => {
                core::ptr::write_bytes(i(0) as *mut u8, i(2) as u8, i(1) as usize);
                return None;
            }
            "show" => {
                let shown = core::slice::from_raw_parts(i(0) as *const u8, i(1) as usize);
                line.push(' ');
                line.push_str(&String::from_utf8_lossy(shown));
                return None;
            }
            "log" => {
                abi::log(i(0), i(1), i(2));
                line.push_str(" -");
                return None;
            }
            "calls" => CALLS,
            "get_int" => abi::get_int(i(0), i(1)),
            "get_bytes" => abi::get_bytes(i(0), i(1), i(2), i(3)) as i64,
            "count" => abi::count(i(0)) as i64,
            "set_int" => abi::set_int(i(0), a[1]) as i64,
            "set_bytes" => abi::set_bytes(i(0), i(1), i(2)) as i64,
            "select" => abi::select(i(0)) as i64,
            "config" => abi::config(i(0), i(1)) as i64,
            "now_ms" => abi::now_ms(),
            "kv_get" => abi::kv_get(i(0), i(1), i(2), i(3)) as i64,
            "kv_set" => abi::kv_set(i(0), i(1), i(2), i(3), a[4]) as i64,
            "metric_add" => abi::metric_add(i(0), i(1), a[2]) as i64,
            other => {
                line.push_str(" ?");
                line.push_str(other);
                return None;
            }
        }
    };
    line.push(' ');
    line.push_str(&answer.to_string());
    None
}

/// Runs the lines of the script that begin with the hook's name, and logs what they answered.
fn run(hook: &str, length: i32) -> i32 {
    unsafe { CALLS += 1 };
    if length < 0 || length as usize > SCRIPT {
        return 0;
    }
    let text = unsafe { core::slice::from_raw_parts(BUFFER.as_ptr(), length as usize) };
    let text: &'static str = match core::str::from_utf8(text) {
        Ok(text) => text,
        Err(_) => return 0,
    };
    let mut line = String::from(hook);
    line.push(':');
    let mut answers = false;
    let mut code = 0;
    for row in text.split('\n') {
        let words: Vec<&'static str> = row.split(' ').filter(|w| !w.is_empty()).collect();
        if words.len() < 2 || words[0] != hook {
            continue;
        }
        answers = true;
        if let Some(end) = step(&words[1..], &mut line) {
            code = end;
            break;
        }
    }
    if answers {
        unsafe { abi::log(abi::log_level::INFO, line.as_ptr() as i32, line.len() as i32) };
    }
    code
}

/// Runs the script that the statement's SQL is.
fn asked(hook: &str) -> i32 {
    run(hook, unsafe { abi::get_bytes(abi::field::SQL, 0, script(), SCRIPT as i32) })
}

#[no_mangle]
pub extern "C" fn configure() -> i32 {
    run("configure", unsafe { abi::config(script(), SCRIPT as i32) })
}

#[no_mangle]
pub extern "C" fn decide() -> i32 {
    asked("decide")
}

#[no_mangle]
pub extern "C" fn on_result() -> i32 {
    asked("on_result")
}

#[no_mangle]
pub extern "C" fn on_tick() -> i32 {
    asked("on_tick")
}
