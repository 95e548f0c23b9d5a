package statement

import "testing"

func TestReadBlock(t *testing.T) {
	for _, test := range []struct {
		text string
		want Block
	}{
		{"BEGIN", BlockBegin},
		{"begin;", BlockBegin},
		{" Begin Work ; ; ", BlockBegin},
		{"/* app='x' */ begin transaction -- now\n", BlockBegin},
		{"begin read only", BlockBegin},
		{"BEGIN ISOLATION LEVEL READ COMMITTED", BlockBeginCommitted},
		{"begin transaction isolation level read committed, read only;", BlockBeginCommitted},
		{"begin read only isolation level read committed", BlockBeginCommitted},
		{"START TRANSACTION", BlockStart},
		{"start transaction isolation level read committed", BlockStartCommitted},
		{"commit", BlockCommit},
		{"COMMIT TRANSACTION;", BlockCommit},
		{"end", BlockCommit},
		{"rollback work", BlockRollback},
		{"abort", BlockRollback},

		{"", NoBlock},
		{"select 1", NoBlock},
		{"begin2", NoBlock},
		{"begin_", NoBlock},
		{"beginé", NoBlock},
		{"begin; select 1", NoBlock},
		{"begin, read only", NoBlock},
		{"begin read only,", NoBlock},
		{"begin read write", NoBlock},
		{"begin deferrable", NoBlock},
		{"begin isolation level serializable", NoBlock},
		{"begin isolation level repeatable read", NoBlock},
		{"begin isolation level read committed, isolation level read committed", NoBlock},
		{"begin isolation level read", NoBlock},
		{"begin /* no end", NoBlock},
		{"begin read /* in between */ only", BlockBegin},
		{"begin \"work\"", NoBlock},
		{"begin atomic", NoBlock},
		{"start", NoBlock},
		{"start transaction work", NoBlock},
		{"start work", NoBlock},
		{"commit and chain", NoBlock},
		{"commit and no chain", NoBlock},
		{"commit prepared 'x'", NoBlock},
		{"rollback to savepoint a", NoBlock},
		{"rollback to a", NoBlock},
		{"end work work", NoBlock},
		{"begin\x00", NoBlock},
		{"begin\v", NoBlock},
	} {
		if got := ReadBlock([]byte(test.text)); got != test.want {
			t.Errorf("ReadBlock(%q) = %d, want %d", test.text, got, test.want)
		}
	}
}

func TestReadBlockAllocatesNothing(t *testing.T) {
	text := []byte("start transaction isolation level read committed, read only;")
	if n := testing.AllocsPerRun(100, func() { ReadBlock(text) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzReadBlock(f *testing.F) {
	for _, text := range []string{"begin", "start transaction read only;", "commit -- x", "rollback /* /* */ */ work"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b := ReadBlock(text)
		if b != NoBlock && ReadBlock(StripComments(nil, text)) != b {
			t.Errorf("%q is %d, and another thing without its comments", text, b)
		}
	})
}
