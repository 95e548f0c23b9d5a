// Package drivers runs real drivers' programs straight on PostgreSQL and through an edge and a home, cold and warm. Each
// program writes down what it saw; what it saw must be the same. Warm, its repeat reads must come from memory.
//
// A program makes its own table, reads each thing twice, and uses what its driver has: prepared statements, transactions
// with autocommit off, savepoints, pipelines, COPY, cancel, LISTEN, binary formats, large values, errors.
package drivers
