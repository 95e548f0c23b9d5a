// Command gen writes what is generated from guest-sdk/abi.yaml: the host's constants in runtime/abi, those
// of the SDKs in guest-sdk, and the reference page docs/policy-abi.md. It is run in the module root:
//
//	go run ./guest-sdk/gen
//
// Its output depends on the YAML file alone. It must never know how the host serves what the file lists.
package main
