// Package fuel rewrites WebAssembly modules so that they count what they do, and trap when it is too much.
//
// A metered module has one more mutable i64 global, the fuel. At every function entry and loop header it is lowered by
// 1 + the length of what follows / 256, the function's body or the loop's, and below zero comes unreachable; what works
// on ranges of memory or tables is charged by their length as well. So loops, recursions and storms of memory.fill end
// alike, after the same number of steps on each machine, without a clock or a goroutine, and a bounded number of calls
// bounds the native stack, too. A few instructions take longer than their bytes tell, and count as more of them.
//
// The rewriter takes a binary apart as far as it must to be certain of three things: that it and the compiler see the
// same instructions, that nothing in the module can name what was added, and that nothing in it goes unmetered. What
// it is not certain of it refuses, SIMD, threads, exceptions, tail calls and whatever came after WebAssembly 2.0 among
// it. All else is left to the compiler's validation: what is inserted takes nothing from the stack, leaves nothing
// there, and shifts no index, so that a metered module is valid if and only if the original is.
//
// The package imports the standard library only, and knows neither the engine nor the ABI.
package fuel
