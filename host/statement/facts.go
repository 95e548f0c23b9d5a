package statement

import (
	"encoding/json"
	"fmt"
)

// FactsParameter is the name of the ParameterStatus that carries facts from a home to an edge inside a tunnel. No
// client ever sees one.
const FactsParameter = "perihelion.facts"

// maxFacts bounds the encoded size that [ParseFacts] accepts, in bytes.
const maxFacts = 1 << 20

// Fact is what a home tells an edge of one statement, or of the session, before the ReadyForQuery that ends the
// cycle (a simple query, or the messages up to a Sync).
type Fact struct {
	// Index is the position of the statement in its cycle: 0 for a simple query; the number of the Execute otherwise.
	// -1 where the fact is about the session and no statement.
	Index int `json:"i"`
	// Fingerprint groups the statement; 0 where it is not known.
	Fingerprint uint64 `json:"fingerprint,omitempty"`
	// Verdict and Reason are the descriptor's; of a Read whose result may not be kept, Reason says why not.
	Verdict Verdict `json:"verdict,omitempty"`
	Reason  string  `json:"reason,omitempty"`
	// Memory is set where the home answered from its own memory.
	Memory bool `json:"memory,omitempty"`
	// Read is present where the statement's result may be kept.
	Read *ReadFact `json:"read,omitempty"`
	// Write is present where something became visible with this cycle.
	Write *WriteFact `json:"write,omitempty"`
	// Session is present where the session's state is new.
	Session *SessionFact `json:"session,omitempty"`
}

// ReadFact says under which conditions a result may be kept.
type ReadFact struct {
	Epoch     string   `json:"epoch"`
	Version   uint64   `json:"version"`
	Relations []string `json:"relations"`
	// Tags are what the result is voided by beside its relations, named as events name them.
	Tags []string `json:"tags,omitempty"`
	// TTLMillis is how long the result may still be kept, in milliseconds.
	TTLMillis int64 `json:"ttl_ms"`
	// StaleMillis is how long after that it may be answered while somebody asks for it anew, in milliseconds.
	StaleMillis int64 `json:"stale_ms,omitempty"`
	// Eventual is set where the time to live alone says how long it may be answered.
	Eventual bool `json:"eventual,omitempty"`
	// MaxBytes is the size of the largest result that may be kept, in bytes; 0: the node's own bound.
	MaxBytes int64 `json:"max_bytes,omitempty"`
}

// WriteFact is a write's event, for the edge that forwarded it (R7).
type WriteFact struct {
	Epoch   string `json:"epoch"`
	Version uint64 `json:"version"`
	// Node is set where every database is concerned.
	Node bool `json:"node,omitempty"`
	// Tables are the relations that changed; empty: the whole database.
	Tables []string `json:"tables,omitempty"`
}

// SessionFact is a session's state as far as the home follows it.
type SessionFact struct {
	// State is a digest of all that the home knows to change answers; sessions of equal state may share entries.
	State string `json:"state,omitempty"`
	// Private is set where the state is not followed: the session shares nothing.
	Private bool `json:"private,omitempty"`
	// Begin is set where a block that is begun now without options is certain to be READ COMMITTED.
	Begin bool `json:"begin,omitempty"`
	// Block is set inside a block that is READ COMMITTED and has only read.
	Block bool `json:"block,omitempty"`
	// Level is how coherent the session's answers have to be, After the token of what they have to know of.
	Level Level  `json:"level,omitempty"`
	After string `json:"after,omitempty"`
	// Forget is set where prepared statements may have changed in a way that is not followed, None where none is left
	// (DISCARD ALL, DEALLOCATE ALL). Names are the changes by name, in their order, behind Forget and None.
	Forget bool       `json:"forget,omitempty"`
	None   bool       `json:"none,omitempty"`
	Names  []NameFact `json:"names,omitempty"`
}

// Equal reports whether two facts say the same of the state; what they say of prepared statements is left out.
func (f SessionFact) Equal(g SessionFact) bool {
	return f.State == g.State && f.Private == g.Private && f.Begin == g.Begin && f.Block == g.Block && f.Level == g.Level && f.After == g.After
}

// NameFact is one prepared statement that SQL made (PREPARE) or dropped (DEALLOCATE).
type NameFact struct {
	Name string `json:"name"`
	// Dropped is set where no statement has the name any more.
	Dropped bool `json:"dropped,omitempty"`
}

// AppendFacts appends the encoded facts to dst: a JSON array in one line.
func AppendFacts(dst []byte, facts []Fact) ([]byte, error) {
	text, err := json.Marshal(facts)
	if err != nil {
		return dst, fmt.Errorf("encode facts: %w", err)
	}
	return append(dst, text...), nil
}

// ParseFacts decodes what [AppendFacts] made. It refuses more than a mebibyte and anything that is not of the form.
func ParseFacts(text []byte) ([]Fact, error) {
	if len(text) > maxFacts {
		return nil, fmt.Errorf("parse facts: %d bytes, at most %d are allowed", len(text), maxFacts)
	}
	var facts []Fact
	if err := json.Unmarshal(text, &facts); err != nil {
		return nil, fmt.Errorf("parse facts: %w", err)
	}
	return facts, nil
}
