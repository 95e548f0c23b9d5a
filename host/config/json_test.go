package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTheEdgeSectionAsJSON(t *testing.T) {
	section := EdgeSection{
		Role: Edge, ID: "paris", HomeURL: []string{"http://a.example"}, AuthToken: "hunter2", DefaultTTL: time.Minute, MaxEntries: 10000, MaxEdges: 32,
	}
	got, err := json.Marshal(section)
	const want = `{"role":"edge","home_url":"http://a.example","auth_token":"redacted","default_ttl":"60s","max_entries":10000,"max_edges":32,"id":"paris"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	got, err = section.RevealJSON()
	if revealed := strings.Replace(want, "redacted", "hunter2", 1); err != nil || string(got) != revealed {
		t.Errorf("got %s, %v, want %s", got, err, revealed)
	}
}

func TestAnEdgeSectionReadFromJSONHasItsDefaults(t *testing.T) {
	for text, want := range map[string]EdgeSection{
		`{}`: {Role: Home, DefaultTTL: time.Minute, MaxEntries: 10000, MaxEdges: 32},
		`{"role":"edge","home_url":["http://a","http://b"],"max_edges":1}`: {
			Role: Edge, HomeURL: []string{"http://a", "http://b"}, DefaultTTL: time.Minute, MaxEntries: 10000, MaxEdges: 1,
		},
	} {
		var got EdgeSection
		if err := json.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v, want %#v", text, got, err, want)
		}
	}
}

func TestEdgeSectionsInJSONThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"role":"Edge"}`:             "read section edge: role is not one of the choices (allowed: home, edge in lower case)",
		`{"home_ulr":"http://a"}`:     "read section edge: home_ulr is not a known key (the nearest known key is home_url)",
		`{"max_edges":0}`:             "read section edge: max_edges is out of range (allowed: a whole number from 1 to 10000)",
		`{"max_edges":null}`:          "read section edge: max_edges has no value (allowed: a whole number from 1 to 10000)",
		`{"max_edges":[1]}`:           "read section edge: max_edges has a value of another kind (allowed: a whole number from 1 to 10000)",
		`{"auth_token":"hunter 2"}`:   "read section edge: auth_token has spaces, line ends or characters outside ASCII (allowed: up to 4096 printable ASCII characters without spaces)",
		`["edge"]`:                    "read section edge: json: cannot unmarshal array into Go value of type map[string]json.RawMessage",
		`{"default_ttl":60}`:          "read section edge: default_ttl is not a duration (allowed: a duration such as 5s or 500ms, from 1ms to 8760h)",
		`{"role":"edge","id":"a b "}`: "read section edge: id has characters that are not allowed (allowed: up to 64 letters, digits, dots, dashes and underscores)",
	} {
		section := EdgeSection{ID: "before"}
		err := json.Unmarshal([]byte(text), &section)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
		if section.ID != "before" || section.Role != "" {
			t.Errorf("%s: changed the section to %#v", text, section)
		}
	}
}

func TestTheEdgeSectionRoundTripsThroughJSON(t *testing.T) {
	url := rapid.StringMatching(`https?://[a-z]{1,8}(\.[a-z]{1,8})?(:[1-9][0-9]{0,3})?(/[a-z]{1,4})?`)
	rapid.Check(t, func(t *rapid.T) {
		want := EdgeSection{
			Role:       rapid.SampledFrom([]Role{Home, Edge}).Draw(t, "role"),
			ID:         rapid.StringMatching(`[A-Za-z0-9._-]{0,64}`).Draw(t, "id"),
			HomeURL:    rapid.SliceOfNDistinct(url, 0, 4, rapid.ID).Draw(t, "home_url"),
			AuthToken:  Secret(rapid.StringMatching(`[!-~]{0,40}`).Draw(t, "auth_token")),
			DefaultTTL: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(365*24*time.Hour)).Draw(t, "default_ttl")),
			MaxEntries: rapid.IntRange(1, 100_000_000).Draw(t, "max_entries"),
			MaxEdges:   rapid.IntRange(1, 10_000).Draw(t, "max_edges"),
		}
		if len(want.HomeURL) == 0 {
			want.HomeURL = nil
		}
		revealed, err := want.RevealJSON()
		if err != nil {
			t.Fatal(err)
		}
		var whole EdgeSection
		if err := json.Unmarshal(revealed, &whole); err != nil {
			t.Fatalf("%s: %v", revealed, err)
		}
		if !reflect.DeepEqual(whole, want) {
			t.Fatalf("%s: got %#v, want %#v", revealed, whole, want)
		}

		// What is printed loses the token and nothing else; a section that has it keeps it.
		printed, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if len(want.AuthToken) > 9 && strings.Contains(string(printed), want.AuthToken.Reveal()) {
			t.Fatalf("%s holds the token", printed)
		}
		kept := EdgeSection{AuthToken: want.AuthToken}
		if err := json.Unmarshal(printed, &kept); err != nil || !reflect.DeepEqual(kept, want) {
			t.Fatalf("%s: got %#v, %v, want %#v", printed, kept, err, want)
		}
	})
}

func TestDurationsAndSizesPrintAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64().Draw(t, "duration"))
		unit := rapid.SampledFrom([]time.Duration{1, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(t, "unit")
		for _, d := range []time.Duration{d, d.Truncate(unit)} {
			if got, err := parseDuration(formatDuration(d)); err != nil || got != d {
				t.Fatalf("%s: got %v, %v, want %v", formatDuration(d), got, err, d)
			}
		}
		s := Size(rapid.Int64Min(0).Draw(t, "size"))
		for _, s := range []Size{s, s / mebibyte * mebibyte} {
			if got, err := parseSize(s.String()); err != nil || got != s {
				t.Fatalf("%s: got %d, %v, want %d", s, got, err, s)
			}
		}
	})
}
