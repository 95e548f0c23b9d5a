package main

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/goccy/go-yaml"
)

// contract is abi.yaml.
type contract struct {
	Version    int        `yaml:"version"`
	Module     string     `yaml:"module"`
	Unknown    int64      `yaml:"unknown"`
	ReadBack   int32      `yaml:"read_back"`
	Functions  []function `yaml:"functions"`
	Hooks      []hook     `yaml:"hooks"`
	Fields     []item     `yaml:"fields"`
	Decisions  []item     `yaml:"decisions"`
	Results    []value    `yaml:"results"`
	Verdicts   []value    `yaml:"verdicts"`
	Coherences []value    `yaml:"coherences"`
	Shares     []value    `yaml:"shares"`
	Levels     []value    `yaml:"levels"`
	Limits     []value    `yaml:"limits"`
}

// function is what a guest may import.
type function struct {
	Name    string   `yaml:"name"`
	Params  []param  `yaml:"params"`
	Results []string `yaml:"results"`
	Doc     string   `yaml:"doc"`
	Answer  string   `yaml:"answer"`
	Codes   []string `yaml:"codes"`
}

type param struct {
	Name string `yaml:"name"`
	Type string `yaml:"type"`
}

// hook is what a guest exports.
type hook struct {
	Name     string   `yaml:"name"`
	Kind     string   `yaml:"kind"`
	Required bool     `yaml:"required"`
	Results  []string `yaml:"results"`
	Doc      string   `yaml:"doc"`
}

// item is a field or a decision. Default, Min and Max are a decision's: the bounds of an integer, both included, or
// the most bytes.
type item struct {
	ID      int32  `yaml:"id"`
	Name    string `yaml:"name"`
	Kind    string `yaml:"kind"`
	Default string `yaml:"default"`
	Min     int64  `yaml:"min"`
	Max     int64  `yaml:"max"`
	Doc     string `yaml:"doc"`
}

// value is a named number.
type value struct {
	Value int64  `yaml:"value"`
	Name  string `yaml:"name"`
	Doc   string `yaml:"doc"`
}

var (
	constantName = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)
	functionName = regexp.MustCompile(`^_?[a-z]+(_[a-z]+)*$`)
)

// kinds are the kinds that a field or decision can have, and the constant of each.
func kinds() []value {
	return []value{
		{Value: 1, Name: "bytes", Doc: "one string of bytes"},
		{Value: 2, Name: "list of bytes", Doc: "any number of strings of bytes"},
		{Value: 3, Name: "int", Doc: "one 64-bit integer"},
		{Value: 4, Name: "list of int", Doc: "any number of 64-bit integers"},
	}
}

// parse reads and checks the source. All problems are reported at once.
func parse(text []byte) (*contract, error) {
	c := &contract{}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(c); err != nil {
		return nil, fmt.Errorf("read the source: %w", err)
	}
	p := &problems{}
	p.check(c)
	return c, errors.Join(p.all...)
}

// problems collects what is wrong with a source.
type problems struct{ all []error }

func (p *problems) addf(format string, args ...any) {
	p.all = append(p.all, fmt.Errorf(format, args...))
}

func (p *problems) check(c *contract) {
	if c.Version < 1 || c.Module == "" || c.ReadBack < 1 {
		p.addf("version, module and read_back must all be given")
	}
	codes := map[string]bool{}
	for _, r := range c.Results {
		codes[r.Name] = true
		if r.Value >= 0 {
			p.addf("results: %s is %d (allowed: below 0)", r.Name, r.Value)
		}
	}
	names := map[string]bool{}
	for _, f := range c.Functions {
		p.name("functions", f.Name, functionName, names)
		p.doc("functions", f.Name, f.Doc)
		for _, v := range f.Params {
			p.valueType(f.Name, v.Type)
		}
		for _, v := range f.Results {
			p.valueType(f.Name, v)
		}
		for _, code := range f.Codes {
			if !codes[code] {
				p.addf("functions: %s returns %s, which is not listed in results", f.Name, code)
			}
		}
	}
	names = map[string]bool{}
	for _, h := range c.Hooks {
		p.name("hooks", h.Name, functionName, names)
		p.doc("hooks", h.Name, h.Doc)
		if h.Kind != "function" && h.Kind != "memory" {
			p.addf("hooks: %s is a %q (allowed: function, memory)", h.Name, h.Kind)
		}
	}
	p.items("fields", c.Fields, c.ReadBack)
	p.items("decisions", c.Decisions, c.ReadBack)
	for _, s := range []struct {
		section string
		values  []value
	}{{"results", c.Results}, {"verdicts", c.Verdicts}, {"coherences", c.Coherences}, {"shares", c.Shares}, {"levels", c.Levels}, {"limits", c.Limits}} {
		p.values(s.section, s.values)
	}
}

func (p *problems) items(section string, items []item, below int32) {
	names, ids := map[string]bool{}, map[int32]bool{}
	for _, i := range items {
		p.name(section, i.Name, constantName, names)
		p.doc(section, i.Name, i.Doc)
		if i.ID < 1 || i.ID >= below {
			p.addf("%s: %s has the id %d (allowed: from 1 to below read_back)", section, i.Name, i.ID)
		}
		if ids[i.ID] {
			p.addf("%s: %s has the id %d of another", section, i.Name, i.ID)
		}
		ids[i.ID] = true
		if kindConstant(i.Kind) == "" {
			p.addf("%s: %s is of the kind %q, which is none", section, i.Name, i.Kind)
		}
		if i.Min > i.Max {
			p.addf("%s: %s is at least %d and at most %d", section, i.Name, i.Min, i.Max)
		}
	}
}

func (p *problems) values(section string, values []value) {
	names, numbers := map[string]bool{}, map[int64]bool{}
	for _, v := range values {
		p.name(section, v.Name, constantName, names)
		p.doc(section, v.Name, v.Doc)
		if numbers[v.Value] && section != "limits" {
			p.addf("%s: %s has the value %d of another", section, v.Name, v.Value)
		}
		numbers[v.Value] = true
	}
}

func (p *problems) name(section, name string, allowed *regexp.Regexp, seen map[string]bool) {
	if !allowed.MatchString(name) {
		p.addf("%s: %q is not a name (allowed: %s)", section, name, allowed)
	}
	if seen[name] {
		p.addf("%s: %s is there twice", section, name)
	}
	seen[name] = true
}

func (p *problems) doc(section, name, doc string) {
	if doc == "" {
		p.addf("%s: %s has no doc", section, name)
	}
}

func (p *problems) valueType(name, t string) {
	if t != "i32" && t != "i64" {
		p.addf("functions: %s has the value type %q (allowed: i32, i64)", name, t)
	}
}
