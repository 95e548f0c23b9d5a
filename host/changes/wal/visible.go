package wal

import (
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
)

// transaction is one that was decoded: its commit is in the WAL, and may or may not be visible yet.
type transaction struct {
	xid    uint32
	commit pglogrepl.LSN // the end of its commit record
	change Change
}

// snapshot is what pg_current_snapshot says: which transactions, of all databases and by the identifiers of their top
// level, were over when it was taken.
type snapshot struct {
	xmin, xmax uint64
	running    map[uint64]struct{} // of those between
}

var errSnapshot = errors.New("not a snapshot of PostgreSQL")

// parseSnapshot reads "xmin:xmax:xid,xid,…".
func parseSnapshot(text string) (snapshot, error) {
	var s snapshot
	parts := strings.SplitN(text, ":", 3)
	if len(parts) != 3 {
		return s, errSnapshot
	}
	var err1, err2 error
	s.xmin, err1 = strconv.ParseUint(parts[0], 10, 64)
	s.xmax, err2 = strconv.ParseUint(parts[1], 10, 64)
	if err1 != nil || err2 != nil || s.xmin > s.xmax {
		return s, errSnapshot
	}
	if parts[2] == "" {
		return s, nil
	}
	s.running = make(map[uint64]struct{}, strings.Count(parts[2], ",")+1)
	for one := range strings.SplitSeq(parts[2], ",") {
		xid, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			return s, errSnapshot
		}
		s.running[xid] = struct{}{}
	}
	return s, nil
}

// over reports whether a transaction has ended for whoever takes a snapshot from now on: a committed one is visible.
func (s *snapshot) over(xid uint64) bool {
	if xid < s.xmin {
		return true
	}
	_, running := s.running[xid]
	return xid < s.xmax && !running
}

// full returns the 64 bits of an identifier of which test_decoding prints 32: those next to the snapshot's own. No
// transaction that matters is 2³¹ away, PostgreSQL's own limit.
func (s *snapshot) full(xid uint32) uint64 {
	return s.xmax + uint64(int64(int32(xid-uint32(s.xmax))))
}

// geometry is what positions in the WAL are measured by.
type geometry struct{ block, segment uint64 }

const (
	shortHeader = 24 // of a page of the WAL
	longHeader  = 40 // of the first page of a segment
)

// end returns the end of the last record before an insert position. At the beginning of a page, PostgreSQL gives the
// position behind the page's header for the next record, but the one before it for the end of the last: no decoder
// ever gets to the first on a server where nothing happens.
func (g geometry) end(insert pglogrepl.LSN) pglogrepl.LSN {
	switch at := uint64(insert); {
	case g.segment > 0 && at%g.segment == longHeader:
		return insert - longHeader
	case g.block > 0 && at%g.block == shortHeader:
		return insert - shortHeader
	}
	return insert
}
