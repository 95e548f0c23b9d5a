package history

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const s = time.Second

func write(session, key string, value int64, from, to time.Duration) Op {
	return Op{Kind: Write, Session: session, Values: []Value{{key, value}}, Invoked: from, Returned: to}
}

func read(session, key string, value int64, from, to time.Duration) Op {
	return Op{Kind: Read, Session: session, Values: []Value{{key, value}}, Invoked: from, Returned: to}
}

func (o Op) rolledBack() Op          { o.Outcome = RolledBack; return o }
func (o Op) unknown() Op             { o.Outcome, o.Returned = Unknown, Never; return o }
func (o Op) at(t time.Duration) Op   { o.Visible = At(t); return o }
func (o Op) lost(t time.Duration) Op { o.Undone = At(t); return o }
func (o Op) in(block int) Op         { o.Block = block; return o }
func (o Op) and(key string, value int64) Op {
	o.Values = append(o.Values, Value{key, value})
	return o
}

func take(session string, token uint64, from, to time.Duration) Op {
	return Op{Kind: Take, Session: session, Token: token, Invoked: from, Returned: to}
}

func use(session string, token uint64, from, to time.Duration) Op {
	return Op{Kind: Use, Session: session, Token: token, Invoked: from, Returned: to}
}

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		ops  []Op
		want string // the text of the one violation; "" for none
	}{
		"what is there at first":                       {[]Op{read("r", "a", 0, 0, 1*s)}, ""},
		"what was written":                             {[]Op{write("w", "a", 1, 0, 1*s), read("r", "a", 1, 2*s, 3*s)}, ""},
		"what was true within the bound":               {[]Op{write("w", "a", 1, 0, 1*s), read("r", "a", 0, 6*s, 6*s)}, ""},
		"what was true longer ago":                     {[]Op{write("w", "a", 1, 0, 1*s), read("r", "a", 0, 6*s+1, 7*s)}, "at no moment from 1.000000s"},
		"what was surely replaced":                     {[]Op{write("w", "a", 1, 0, 1*s), write("w", "a", 2, 2*s, 3*s), read("r", "a", 1, 9*s, 9*s)}, "at no moment"},
		"what may have been replaced later":            {[]Op{write("w", "a", 1, 0, 3*s), write("v", "a", 2, 2*s, 3*s), read("r", "a", 1, 9*s, 9*s)}, ""},
		"what is replaced while it is asked for":       {[]Op{write("w", "a", 1, 0, 1*s), write("w", "a", 2, 2*s, 9*s), read("r", "a", 1, 14*s, 14*s)}, ""},
		"a write in flight":                            {[]Op{write("w", "a", 1, 0, 9*s), read("r", "a", 1, 1*s, 2*s)}, ""},
		"a write that was not asked for yet":           {[]Op{write("w", "a", 1, 3*s, 9*s), read("r", "a", 1, 1*s, 2*s)}, "not true yet"},
		"a write that was not visible yet":             {[]Op{write("w", "a", 1, 0, 9*s).at(3 * s), read("r", "a", 1, 1*s, 2*s)}, "not true yet"},
		"a write that was rolled back":                 {[]Op{write("w", "a", 1, 0, 1*s).rolledBack(), read("r", "a", 1, 1*s, 2*s)}, "rolled back"},
		"what a write that was rolled back would hide": {[]Op{write("w", "a", 1, 0, 1*s).rolledBack(), read("r", "a", 0, 9*s, 9*s)}, ""},
		"what nobody wrote":                            {[]Op{write("w", "a", 1, 0, 1*s), read("r", "a", 2, 1*s, 2*s)}, "nobody wrote"},
		"a write without a reply":                      {[]Op{write("w", "a", 1, 0, 0).unknown(), read("r", "a", 1, 1*s, 2*s), read("r", "a", 0, 90*s, 90*s)}, ""},
		"two writes of one value":                      {[]Op{write("w", "a", 1, 0, 1*s), write("w", "a", 1, 2*s, 3*s)}, "does not tell"},
		"a read that never came back":                  {[]Op{read("r", "a", 9, 0, Never)}, ""},

		"two values that were true together": {[]Op{write("w", "a", 1, 0, 0).at(1 * s), write("w", "b", 1, 0, 0).at(2 * s), read("r", "a", 1, 3*s, 3*s).and("b", 0)}, ""},
		"two values that never were":         {[]Op{write("w", "a", 1, 0, 0).at(2 * s), write("w", "b", 1, 0, 0).at(1 * s), read("r", "a", 1, 3*s, 3*s).and("b", 0)}, "at no moment"},

		"a write that the database lost, before":                {[]Op{write("w", "a", 1, 0, 1*s).lost(3 * s), read("r", "a", 1, 2*s, 2*s)}, ""},
		"a write that the database lost, long after":            {[]Op{write("w", "a", 1, 0, 1*s).lost(3 * s), read("r", "a", 1, 9*s, 9*s)}, "at no moment"},
		"what it had replaced, which is true again":             {[]Op{write("w", "a", 1, 0, 1*s).lost(3 * s), read("r", "a", 0, 90*s, 90*s)}, ""},
		"what it had replaced, while it was not":                {[]Op{write("w", "a", 1, 0, 1*s).lost(30 * s), read("r", "a", 0, 9*s, 9*s)}, "at no moment"},
		"what another one had replaced":                         {[]Op{write("w", "a", 1, 0, 1*s), write("w", "a", 2, 2*s, 3*s).lost(4 * s), read("r", "a", 0, 9*s, 9*s)}, "at no moment"},
		"one's own write that was lost":                         {[]Op{write("w", "a", 1, 0, 1*s).lost(3 * s), read("w", "a", 0, 4*s, 4*s)}, ""},
		"one's own write before it is lost":                     {[]Op{write("w", "a", 1, 0, 1*s).lost(3 * s), read("w", "a", 0, 2*s, 2*s)}, "older than what the session wrote"},
		"one's own write":                                       {[]Op{write("w", "a", 1, 0, 1*s), read("w", "a", 1, 2*s, 2*s)}, ""},
		"not one's own write":                                   {[]Op{write("w", "a", 1, 0, 1*s), read("w", "a", 0, 2*s, 2*s)}, "older than what the session wrote"},
		"one behind one's own write":                            {[]Op{write("w", "a", 1, 0, 1*s), write("v", "a", 2, 1*s, 2*s), read("w", "a", 2, 2*s, 2*s)}, ""},
		"one that may be behind one's own":                      {[]Op{write("w", "a", 1, 0, 1*s), write("v", "a", 2, 0, 2*s), read("w", "a", 2, 2*s, 2*s)}, ""},
		"one before one's own write":                            {[]Op{write("v", "a", 2, 0, 1*s), write("w", "a", 1, 2*s, 2*s), read("w", "a", 2, 3*s, 3*s)}, "older than what the session wrote"},
		"one's own write whose reply is lost":                   {[]Op{write("w", "a", 1, 0, 0).unknown(), read("w", "a", 0, 2*s, 2*s)}, ""},
		"one's own write in the block":                          {[]Op{write("w", "a", 1, 0, 9*s).in(1).at(8 * s), read("w", "a", 1, 1*s, 2*s).in(1)}, ""},
		"what the block has replaced":                           {[]Op{write("w", "a", 1, 0, 9*s).in(1).at(8 * s), read("w", "a", 0, 1*s, 2*s).in(1)}, "not what the block has written"},
		"what the block wrote and takes back":                   {[]Op{write("w", "a", 1, 0, 9*s).in(1).rolledBack(), read("w", "a", 1, 1*s, 2*s).in(1), read("w", "a", 0, 10*s, 11*s)}, ""},
		"what another block wrote and takes back":               {[]Op{write("w", "a", 1, 0, 9*s).in(1).rolledBack(), read("v", "a", 1, 1*s, 2*s).in(1)}, "rolled back"},
		"a token, and what it stands for":                       {[]Op{write("w", "a", 1, 0, 1*s), take("w", 5, 1*s, 1*s), use("r", 5, 2*s, 2*s), read("r", "a", 1, 2*s, 2*s)}, ""},
		"a token, and less than it stands for":                  {[]Op{write("w", "a", 1, 0, 1*s), take("w", 5, 1*s, 1*s), use("r", 5, 2*s, 2*s), read("r", "a", 0, 2*s, 2*s)}, "older than the token"},
		"a token that was taken before the write":               {[]Op{take("w", 5, 0, 0), write("w", "a", 1, 0, 1*s), use("r", 5, 2*s, 2*s), read("r", "a", 0, 2*s, 2*s)}, ""},
		"a token of one who used a token":                       {[]Op{write("w", "a", 1, 0, 1*s), take("w", 5, 1*s, 1*s), use("v", 5, 1*s, 1*s), take("v", 6, 1*s, 1*s), use("r", 6, 2*s, 2*s), read("r", "a", 0, 2*s, 2*s)}, "older than the token"},
		"a token that goes back":                                {[]Op{take("w", 5, 0, 0), take("w", 4, 1*s, 1*s)}, "lower"},
		"a token that nobody was told":                          {[]Op{take("w", 5, 0, 0), take("w", 0, 1*s, Never)}, ""},
		"another's token that is lower":                         {[]Op{take("w", 5, 0, 0), take("v", 4, 1*s, 1*s)}, ""},
		"a block of the same number of another session's":       {[]Op{write("w", "a", 1, 0, 1*s).in(1), read("v", "a", 0, 1*s, 2*s).in(1)}, ""},
		"one's own write in the block before, read in the next": {[]Op{write("w", "a", 1, 0, 1*s).in(1), read("w", "a", 0, 2*s, 2*s).in(2)}, "older than what the session wrote"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found := Check(test.ops, 5*s)
			switch {
			case test.want == "" && len(found) > 0:
				t.Errorf("got %v, want no violation", found)
			case test.want != "" && (len(found) != 1 || !strings.Contains(found[0].Text, test.want)):
				t.Errorf("got %v, want one violation that says %q", found, test.want)
			}
		})
	}
}

func TestTheOrderOfSessionsDoesNotMatter(t *testing.T) {
	ops := []Op{
		write("w", "a", 1, 0, 1*s), write("v", "a", 2, 2*s, 3*s), write("w", "a", 3, 3*s, 4*s),
		read("r", "a", 1, 20*s, 21*s), read("r", "a", 3, 22*s, 22*s),
	}
	want := Check(ops, 5*s)
	if len(want) != 1 {
		t.Fatalf("got %v, want one violation", want)
	}
	slices.SortStableFunc(ops, func(a, b Op) int { return strings.Compare(a.Session, b.Session) })
	if got := Check(ops, 5*s); len(got) != 1 || got[0].Op.String() != want[0].Op.String() {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLinearizable(t *testing.T) {
	tests := map[string]struct {
		ops  []Op
		want string
	}{
		"one after the other":                  {[]Op{write("w", "a", 1, 0, 1*s), read("r", "a", 1, 2*s, 3*s)}, ""},
		"stale":                                {[]Op{write("w", "a", 1, 0, 1*s), read("r", "a", 0, 1*s+1, 3*s)}, "no order"},
		"at the same time":                     {[]Op{write("w", "a", 1, 0, 2*s), read("r", "a", 0, 1*s, 3*s), read("r", "a", 1, 4*s, 5*s)}, ""},
		"back again":                           {[]Op{write("w", "a", 1, 0, 9*s), read("r", "a", 1, 1*s, 2*s), read("q", "a", 0, 3*s, 4*s)}, "no order"},
		"a write whose reply is lost, later":   {[]Op{write("w", "a", 1, 0, 1*s).unknown(), read("r", "a", 0, 2*s, 3*s), read("r", "a", 1, 4*s, 5*s)}, ""},
		"a write whose reply is lost, undone":  {[]Op{write("w", "a", 1, 0, 1*s).unknown(), read("r", "a", 1, 2*s, 3*s), read("r", "a", 0, 4*s, 5*s)}, "no order"},
		"a write that was rolled back":         {[]Op{write("w", "a", 1, 0, 1*s).rolledBack(), read("r", "a", 0, 2*s, 3*s)}, ""},
		"two keys, each for itself":            {[]Op{write("w", "a", 1, 0, 1*s), write("w", "b", 1, 0, 1*s), read("r", "a", 1, 2*s, 3*s).and("b", 1)}, ""},
		"two keys, one of them stale":          {[]Op{write("w", "a", 1, 0, 1*s), write("w", "b", 1, 0, 1*s), read("r", "a", 1, 2*s, 3*s).and("b", 0)}, "answered for b"},
		"one's own write before it is visible": {[]Op{write("w", "a", 1, 0, 9*s).in(1), read("w", "a", 1, 1*s, 2*s).in(1), read("r", "a", 0, 3*s, 4*s)}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found := Linearizable(test.ops, time.Minute)
			switch {
			case test.want == "" && len(found) > 0:
				t.Errorf("got %v, want no violation", found)
			case test.want != "" && (len(found) != 1 || !strings.Contains(found[0].Text, test.want)):
				t.Errorf("got %v, want one violation that says %q", found, test.want)
			}
		})
	}
}
