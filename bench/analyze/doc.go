// Command analyze measures what a home pays to know what a statement is: the analysis of a text, the memory of what is
// remembered of it, and the picture of the catalogs that it is judged by.
//
// Texts: a new one, one with a shape that is known but literals that are not, and one that is known, one after the other
// in each round, so that a ratio is of one round. Each is asked of one goroutine.
//
// Pictures: of databases with 10, 1,000 and 10,000 tables of a hundred columns. The first load, what a schema change costs
// the statements behind it, and the digest that a home takes once a second. Changes go on while a goroutine describes
// known statements again and again: the longest that one of them waited is what traffic sees.
package main
