// Package tck is the conformance kit of the policy ABI: it checks a host against each line of guest-sdk/abi.yaml.
//
// A host is checked by implementing [Host], a dozen lines around whatever loads its modules, and calling [Run] with one
// of the guests beside this file. A guest knows no case: it is an interpreter that makes the calls which a script names
// and logs what they answered, so one table of cases, here, serves guests in every language, and a guest that passes
// shows that its language reaches each function as the ABI has it. The script language is described at [Script].
//
// The package imports nothing but the standard library and the ABI's constants, and must never know a host.
package tck
