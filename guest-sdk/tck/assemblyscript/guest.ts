// The conformance kit's guest in AssemblyScript: it makes the calls that a script names, and logs what they answered.
// The script language is described in package tck. It works on memory that is the program's for good, so that an
// address in it stays what it is.
import * as host from "../../assemblyscript/abi";

const scriptSize = 4096;
const script = memory.data(4096);
const scratch = memory.data(73728);
const lineSize = 1024;
const line = memory.data(1024);
let length: i32 = 0; // of the line
let calls: i32 = 0; // of this instance
let sink: i32 = 0;
let code: i32 = 0; // what the hook is to return

// The words of the line of the script at hand: where each begins, and its length. A word's argument is kept as well.
const at = new StaticArray<i32>(10);
const size = new StaticArray<i32>(10);
const argument = new StaticArray<i64>(10);

function put(c: i32): void {
  if (length < lineSize) store<u8>(line + length++, c);
}

function putText(text: string): void {
  for (let i = 0; i < text.length; i++) put(text.charCodeAt(i));
}

function is(word: i32, text: string): bool {
  if (size[word] != text.length) return false;
  for (let i = 0; i < text.length; i++) {
    if (<i32>load<u8>(at[word] + i) != text.charCodeAt(i)) return false;
  }
  return true;
}

function number(from: i32, n: i32): i64 {
  let value: i64 = 0;
  const negative = n > 0 && load<u8>(from) == 45;
  for (let i = negative ? 1 : 0; i < n; i++) value = value * 10 + (<i64>load<u8>(from + i) - 48);
  return negative ? -value : value;
}

// read is a number; @ and an offset in the scratch space; ! and an offset from the end of memory; or an apostrophe and
// text, which stands for its address.
function read(word: i32): i64 {
  const from = at[word] + 1;
  const n = size[word] - 1;
  switch (load<u8>(at[word])) {
    case 64: return <i64>scratch + number(from, n);
    case 33: return (<i64>memory.size() << 16) + number(from, n);
    case 39: return <i64>from;
  }
  return number(at[word], size[word]);
}

function int(i: i32): i32 { return <i32>argument[i]; }

function recurse(n: i32): i32 { return sink != 0 ? 0 : recurse(n + 1) + n; }

// step runs one line, whose words begin with the function, and returns whether the hook is to end.
function step(): bool {
  if (is(1, "return")) { code = int(2); return true; }
  if (is(1, "trap")) unreachable();
  if (is(1, "loop")) while (true) sink = 0;
  if (is(1, "recurse")) { sink = recurse(0); return false; }
  if (is(1, "fill")) { memory.fill(int(2), <u8>int(4), int(3)); return false; }
  put(32);
  let n: i64 = 0;
  if (is(1, "show")) {
    for (let i = 0; i < int(3); i++) put(load<u8>(int(2) + i));
    return false;
  } else if (is(1, "log")) {
    host.log(int(2), int(3), int(4));
    put(45);
    return false;
  } else if (is(1, "calls")) n = calls;
  else if (is(1, "get_int")) n = host.get_int(int(2), int(3));
  else if (is(1, "get_bytes")) n = host.get_bytes(int(2), int(3), int(4), int(5));
  else if (is(1, "count")) n = host.count(int(2));
  else if (is(1, "set_int")) n = host.set_int(int(2), argument[3]);
  else if (is(1, "set_bytes")) n = host.set_bytes(int(2), int(3), int(4));
  else if (is(1, "select")) n = host.select_(int(2));
  else if (is(1, "config")) n = host.config(int(2), int(3));
  else if (is(1, "now_ms")) n = host.now_ms();
  else if (is(1, "kv_get")) n = host.kv_get(int(2), int(3), int(4), int(5));
  else if (is(1, "kv_set")) n = host.kv_set(int(2), int(3), int(4), int(5), argument[6]);
  else if (is(1, "metric_add")) n = host.metric_add(int(2), int(3), argument[4]);
  else { put(63); return false; }
  putText(n.toString());
  return false;
}

// run runs the lines of the script that begin with the hook's name, and logs what they answered.
function run(hook: string, n: i32): i32 {
  calls++;
  code = 0;
  length = 0;
  if (n < 0 || n > scriptSize) return 0;
  putText(hook);
  put(58);
  let answers = false;
  const end = <i32>script + n;
  for (let p = <i32>script; p < end; p++) {
    let words = 0;
    while (p < end && load<u8>(p) != 10) {
      if (load<u8>(p) == 32) { p++; continue; }
      const from = p;
      while (p < end && load<u8>(p) != 32 && load<u8>(p) != 10) p++;
      if (words < 10) {
        at[words] = from;
        size[words] = p - from;
        if (words > 1) argument[words] = read(words);
        words++;
      }
    }
    if (words < 2 || !is(0, hook)) continue;
    answers = true;
    if (step()) break;
  }
  if (answers) host.log(host.Log.INFO, <i32>line, length);
  return code;
}

// asked runs the script that the statement's SQL is.
function asked(hook: string): i32 {
  return run(hook, host.get_bytes(host.Field.SQL, 0, <i32>script, scriptSize));
}

export function configure(): i32 { return run("configure", host.config(<i32>script, scriptSize)); }
export function decide(): i32 { return asked("decide"); }
export function on_result(): i32 { return asked("on_result"); }
export function on_tick(): i32 { return asked("on_tick"); }
