package invalidation

import "time"

// Version is a position in a log: 64 bits, strictly increasing within an epoch. Events have even versions; a read
// is stamped with an odd one. The in-process log issues hybrid logical clock stamps: 48 bits of Unix milliseconds
// and 16 bits of counter.
type Version uint64

// Stamp returns the version that a read begun now, with v the last applied event, is stamped with: the odd one
// right behind v, so that an event voids every entry whose version is not above its own.
func (v Version) Stamp() Version { return v | 1 }

// next returns the first even version above last that is not before now.
func next(last Version, now time.Time) Version {
	physical := Version(max(now.UnixMilli(), 0)) << 16
	if after := (last | 1) + 1; physical < after {
		return after
	}
	return physical
}

// Event is one entry of the log: the relations whose rows may have changed at its version.
type Event struct {
	// Version is the event's position, always even.
	Version Version
	// Database is the database that the event concerns. Empty: every database of the node.
	Database string
	// Tables are the relations as "schema.table", sorted. Empty: the whole database, or the whole node.
	Tables []string
}

// Hold says that a write is about to change relations, or may have done so already: while it is in force, what depends on
// them is answered by nobody's memory (R11).
type Hold struct {
	// ID names the hold within its log. Ids increase.
	ID uint64
	// Database is the database that the hold concerns. Empty: every database of the node.
	Database string
	// Tables are the relations as "schema.table". Empty: the whole database, or the whole node.
	Tables []string
}
