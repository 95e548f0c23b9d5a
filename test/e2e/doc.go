// Package e2e tests Perihelion through the doors that its users use: a driver through an edge through a home to a
// real PostgreSQL, and HTTP. It holds nothing but tests.
package e2e
