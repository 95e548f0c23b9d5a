package main

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestReadTable(t *testing.T) {
	tests := map[string]struct {
		config string
		want   table
	}{
		"no configuration":                    {"", table{}},
		"an empty configuration":              {"{}", table{}},
		"a configuration that is null":        {"null", table{}},
		"a section that is null":              {`{"ttl": null}`, table{}},
		"durations":                           {`{"ttl": {"public.a": "10m", "s.b": "1h30m"}}`, table{"public.a": 10 * time.Minute, "s.b": 90 * time.Minute}},
		"the number 0 means never":            {`{"ttl": {"public.a": 0}}`, table{"public.a": never}},
		"a duration of 0 means never":         {`{"ttl": {"public.a": "0s"}}`, table{"public.a": never}},
		"the shortest and the longest of all": {`{"ttl": {"public.a": "1ms", "public.b": "168h"}}`, table{"public.a": time.Millisecond, "public.b": 168 * time.Hour}},
		"a relation with a dot in its name":   {`{"ttl": {"public.a.b": "1s"}}`, table{"public.a.b": time.Second}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readTable([]byte(test.config))
			if err != nil || !maps.Equal(got, test.want) {
				t.Errorf("readTable(%s) = %v, %v, want %v", test.config, got, err, test.want)
			}
		})
	}
}

func TestReadTableRefuses(t *testing.T) {
	tests := map[string]struct {
		config string
		want   []string // in the message
	}{
		"what is not JSON":                     {`{`, []string{"config is not an object"}},
		"a list":                               {`[]`, []string{"config is not an object"}},
		"an unknown key":                       {`{"tll": {}}`, []string{`unknown key "tll"`}},
		"a key in other letters":               {`{"TTL": {}}`, []string{`unknown key "TTL"`}},
		"a section that is a list":             {`{"ttl": ["public.a"]}`, []string{"ttl is not an object"}},
		"a relation without its schema":        {`{"ttl": {"products": "1m"}}`, []string{`"products"`, "schema.table"}},
		"a relation with an empty schema":      {`{"ttl": {".products": "1m"}}`, []string{`".products"`}},
		"a relation with an empty name":        {`{"ttl": {"public.": "1m"}}`, []string{`"public."`}},
		"a duration below 0":                   {`{"ttl": {"public.a": "-1s"}}`, []string{`"public.a"`, `"-1s"`, "0 for never"}},
		"a duration that is too short":         {`{"ttl": {"public.a": "999us"}}`, []string{`"public.a"`, "1ms"}},
		"a duration that is too long":          {`{"ttl": {"public.a": "169h"}}`, []string{`"public.a"`, "168h0m0s"}},
		"a number that is not 0":               {`{"ttl": {"public.a": 10}}`, []string{`"public.a"`, "is 10"}},
		"a number below 0":                     {`{"ttl": {"public.a": -1}}`, []string{`"public.a"`, "is -1"}},
		"a text that is no duration":           {`{"ttl": {"public.a": "soon"}}`, []string{`"public.a"`, `"soon"`}},
		"an empty text":                        {`{"ttl": {"public.a": ""}}`, []string{`"public.a"`, `""`}},
		"null":                                 {`{"ttl": {"public.a": null}}`, []string{`"public.a"`, "null"}},
		"a truth value":                        {`{"ttl": {"public.a": false}}`, []string{`"public.a"`, "false"}},
		"all problems at once and on one line": {`{"ttl": {"public.b": 1, "a": 0}, "x": 1}`, []string{`"x"`, `"a"`, `"public.b"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readTable([]byte(test.config))
			if err == nil {
				t.Fatalf("readTable(%s) = %v, want an error", test.config, got)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("readTable(%s): the message has several lines: %q", test.config, err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("readTable(%s): got %q, want it to contain %s", test.config, err, want)
				}
			}
		})
	}
}

func TestShortest(t *testing.T) {
	ttls := table{"public.products": 10 * time.Minute, "public.prices": 30 * time.Second, "public.rates": 30 * time.Second, "public.sessions": never}
	const standing = time.Minute
	tests := map[string]struct {
		relations []string
		relation  string
		ttl       time.Duration
	}{
		"no relation states nothing":                  {nil, "", 0},
		"a relation that is not named states nothing": {[]string{"public.orders"}, "", 0},
		"a relation of another schema is another":     {[]string{"sales.products"}, "", 0},
		"a relation that is named has its own":        {[]string{"public.products"}, "public.products", 10 * time.Minute},
		"the smaller of two holds":                    {[]string{"public.products", "public.prices"}, "public.prices", 30 * time.Second},
		"the smaller of two holds in the other order": {[]string{"public.prices", "public.products"}, "public.prices", 30 * time.Second},
		"of two that are equal the first is named":    {[]string{"public.rates", "public.prices"}, "public.rates", 30 * time.Second},
		"never wins":                                           {[]string{"public.prices", "public.sessions", "public.products"}, "public.sessions", never},
		"never wins over what is not named":                    {[]string{"public.orders", "public.sessions"}, "public.sessions", never},
		"what is not named keeps the standing one":             {[]string{"public.products", "public.orders"}, "", 0},
		"what is not named gives way to one that is smaller":   {[]string{"public.orders", "public.prices"}, "public.prices", 30 * time.Second},
		"what is named twice with what is not counts but once": {[]string{"public.products", "public.orders", "public.products"}, "", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			relation, ttl := ttls.shortest(test.relations, standing)
			if relation == "" {
				ttl = 0
			}
			if relation != test.relation || ttl != test.ttl {
				t.Errorf("shortest(%v) = %q, %v, want %q, %v", test.relations, relation, ttl, test.relation, test.ttl)
			}
		})
	}
}
