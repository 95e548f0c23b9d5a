// The AssemblyScript SDK for Perihelion's policies: WebAssembly modules that decide which statements' results are
// cached, and for how long. What the host answers and takes is in abi.ts; here is what makes it fit for the language:
// strings instead of an address and a length. A whole policy:
//
//   import { Field, Decision, text, set_int } from "../assemblyscript";
//
//   export function decide(): i32 {
//     if (text(Field.APPLICATION) == "reports") return set_int(Decision.TTL_MS, 3600000);
//     return 0;
//   }
//
// A hook returns 0 for success; anything else makes the statement bypass the cache, so the result of a function that
// failed can be returned as it is. example/build.sh builds a policy.
import { Decision, get_bytes, count, set_bytes, config, kv_get, kv_set, metric_add, log } from "./abi";

export * from "./abi";

// The buffer that text is read into. It grows to what was needed once.
let buffer = new ArrayBuffer(1024);

function address(b: ArrayBuffer): i32 { return <i32>changetype<usize>(b); }

// grown makes room for a length over the buffer's and returns whether there was too little.
function grown(n: i32): bool {
  if (n <= buffer.byteLength) return false;
  buffer = new ArrayBuffer(n);
  return true;
}

function taken(n: i32): string | null {
  return n < 0 ? null : String.UTF8.decodeUnsafe(changetype<usize>(buffer), n);
}

/** A byte field, item index of a list; null where the host does not know it. */
export function text(field: i32, index: i32 = 0): string | null {
  let n = get_bytes(field, index, address(buffer), buffer.byteLength);
  if (grown(n)) n = get_bytes(field, index, address(buffer), buffer.byteLength);
  return taken(n);
}

/** A list of bytes, empty where the host does not know it. */
export function list(field: i32): string[] {
  const items: string[] = [];
  const n = count(field);
  for (let i = 0; i < n; i++) {
    const item = text(field, i);
    if (item !== null) items.push(item);
  }
  return items;
}

/** Whether a list field has an item. It costs less than to look through list. */
export function has(field: i32, value: string): bool {
  const want = String.UTF8.encode(value);
  if (want.byteLength > buffer.byteLength) buffer = new ArrayBuffer(want.byteLength);
  const n = count(field);
  for (let i = 0; i < n; i++) {
    const length = get_bytes(field, i, address(buffer), buffer.byteLength);
    if (length == want.byteLength && memory.compare(changetype<usize>(buffer), changetype<usize>(want), length) == 0) return true;
  }
  return false;
}

/** The configuration, as JSON. */
export function configuration(): string | null {
  let n = config(address(buffer), buffer.byteLength);
  if (grown(n)) n = config(address(buffer), buffer.byteLength);
  return taken(n);
}

/** States a byte part of the decision. */
export function set_text(decision: i32, value: string): i32 {
  const bytes = String.UTF8.encode(value);
  return set_bytes(decision, address(bytes), bytes.byteLength);
}

/** Says why, to people. */
export function reason(value: string): i32 { return set_text(Decision.REASON, value); }

/** Adds a tag by which the result can be voided. */
export function tag(value: string): i32 { return set_text(Decision.TAG, value); }

/** The value of a key of the policy's store, which is one per tenant; null where there is none. */
export function get(key: string): string | null {
  const k = String.UTF8.encode(key);
  let n = kv_get(address(k), k.byteLength, address(buffer), buffer.byteLength);
  if (grown(n)) n = kv_get(address(k), k.byteLength, address(buffer), buffer.byteLength);
  return taken(n);
}

/** Gives a key of the store a value for some time, 0 for good. */
export function set(key: string, value: string, ttl_ms: i64 = 0): i32 {
  const k = String.UTF8.encode(key);
  const v = String.UTF8.encode(value);
  return kv_set(address(k), k.byteLength, address(v), v.byteLength, ttl_ms);
}

/** Adds to a counter of the policy's own. */
export function add(counter: string, delta: i64 = 1): i32 {
  const name = String.UTF8.encode(counter);
  return metric_add(address(name), name.byteLength, delta);
}

/** Writes a line to the node's log. */
export function say(level: i32, line: string): void {
  const bytes = String.UTF8.encode(line);
  log(level, address(bytes), bytes.byteLength);
}
