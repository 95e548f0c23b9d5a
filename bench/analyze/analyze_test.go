package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestARunKeepsWhatItMeasured(t *testing.T) {
	folder := t.TempDir()
	if err := run(t.Context(), options{rounds: 1, slice: time.Millisecond, tables: 10, folder: folder}); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(folder, "analyze.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(kept, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Texts) != len(statements) || len(r.Pictures) != 1 {
		t.Fatalf("got %d texts and %d pictures, want %d and 1", len(r.Texts), len(r.Pictures), len(statements))
	}
	for _, s := range r.Texts {
		if s.New[0] <= s.Shape[0] || s.Remembered <= 0 {
			t.Errorf("%s: a new text takes %v µs and keeps %v bytes, one of a known shape takes %v µs", s.Name, s.New, s.Remembered, s.Shape)
		}
	}
	if p := r.Pictures[0]; p.FirstLoad <= 0 || len(p.Table) != changes || len(p.Grant) != changes || p.LongestWait <= 0 || p.Bytes <= 0 {
		t.Errorf("got %+v", p)
	}
	table, err := os.ReadFile(filepath.Join(folder, "analyze.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(table), "| 10 × 100 |") {
		t.Errorf("got %s", table)
	}
}

func TestOptionsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"-rounds", "0"}, {"-slice", "0s"}, {"-tables", "0"}, {"-nothing"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
