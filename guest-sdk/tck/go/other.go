//go:build !wasip1

// Elsewhere the program is empty, so that tools which know nothing of wasip1 find a package.
package main

func main() {}
