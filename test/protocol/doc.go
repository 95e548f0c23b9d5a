// Package protocol runs scripts of protocol messages straight on PostgreSQL and through an edge and a home, three
// times each: cold, warm, and byte by byte. The backend's bytes must be the same. Only what must differ is made equal
// before they are compared: the key of a BackendKeyData, the process id of a NotificationResponse, the object ids of
// tables in a RowDescription (the routes lead to databases of their own), and the names of these two databases, which have
// the same length.
//
// A script is a section of a file in testdata, which begins with "== NAME". Its lines are
//
//	setup SQL            run before the script, on both databases: straight on one, through the home on the other
//	hits N               the edge answers N statements from memory when the script is warm; without it, nothing is asserted
//	startup K=V …        parameters of the startup packet, beside user and database; version=3.2 sets the protocol
//	packet HEX           is sent instead of a startup packet
//	TYPE ARGUMENT …      a message: see the table in script.go; strings are quoted as in Go
//	raw HEX              bytes as they are
//	wait TYPES           sends what stands before, and reads messages until those of the given types have come, in this order
//	wait eof             reads until the backend closes
//	other SQL            runs SQL on a second connection, of the same route
//
// A script that does not end in a wait ends in "wait Z". A line that begins with # is a comment.
package protocol
