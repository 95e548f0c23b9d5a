package main

import (
	"bytes"
	"fmt"
	"go/format"
	"math"
	"strconv"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"
)

// file is one that was generated, its path relative to the module root.
type file struct {
	path string
	text []byte
}

// generate turns the source into every generated file, in memory.
func generate(text []byte) ([]file, error) {
	c, err := parse(text)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, f := range []struct {
		path, layout string
	}{
		{"runtime/abi/abi_gen.go", hostLayout},
		{"guest-sdk/go/abi_gen.go", guestLayout},
		{"guest-sdk/c/perihelion_abi.h", headerLayout},
		{"guest-sdk/assemblyscript/abi.ts", scriptLayout},
		{"guest-sdk/rust/src/abi.rs", rustLayout},
		{"docs/policy-abi.md", pageLayout},
	} {
		out, err := render(f.layout, c)
		if err == nil && strings.HasSuffix(f.path, ".go") {
			out, err = format.Source(out)
		}
		if err != nil {
			return nil, fmt.Errorf("generate %s: %w", f.path, err)
		}
		files = append(files, file{f.path, out})
	}
	return files, nil
}

func render(layout string, c *contract) ([]byte, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{
		"camel":    camel,
		"comment":  comment,
		"kind":     kindConstant,
		"ctype":    cType,
		"cline":    cLine,
		"rust":     func(text string) string { return "/// " + strings.Join(strings.Fields(text), " ") },
		"fits":     jsNumber,
		"wide":     func(id int32) int64 { return int64(id) },
		"reserved": jsName,
		"kinds":    kinds,
		"phrase":   sentence,
		"quoted":   quoted,
		"types":    paramTypes,
		"sig":      signature,
		"tick":     func() string { return "`" },
		"codes":    codes,
		"choose":   choose,
		"allowed":  allowed,
	}).Parse(layout)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, c); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// camel turns the name of a constant or function into Go's spelling: DEFAULT_TTL_MS into DefaultTTLMS.
func camel(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(strings.ToUpper(name), func(r rune) bool { return r == '_' || r == ' ' }) {
		switch word {
		case "SQL", "TTL", "MS", "US", "KV":
			b.WriteString(word)
		default:
			b.WriteString(word[:1] + strings.ToLower(word[1:]))
		}
	}
	return b.String()
}

// kindConstant returns the constant of a kind, or nothing where there is no such kind.
func kindConstant(kind string) string {
	switch kind {
	case "bytes":
		return "KindBytes"
	case "list of bytes":
		return "KindBytesList"
	case "int":
		return "KindInt"
	case "list of int":
		return "KindIntList"
	default:
		return ""
	}
}

// cType is a value type in C.
func cType(t string) string { return map[string]string{"i32": "int32_t", "i64": "int64_t"}[t] }

// cLine sets a text as a comment in C, on a line of its own, whatever it holds.
func cLine(text string) string {
	return "/* " + strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "*/", "* /") + " */"
}

// jsNumber is a number as AssemblyScript reads it, whatever its size.
func jsNumber(n int64) string {
	if n == math.MinInt64 {
		return "i64.MIN_VALUE"
	}
	return strconv.FormatInt(n, 10)
}

// jsName is a function's name, which its language may have taken.
func jsName(name string) string {
	if name == "select" {
		return name + "_"
	}
	return name
}

// sentence ends a text with a full stop.
func sentence(s string) string { return strings.TrimSuffix(s, ".") + "." }

// comment sets a text as a Go comment of at most 120 columns, after a name that begins its first sentence.
func comment(indent int, name, text string) string {
	const columns = 120
	if r, size := utf8.DecodeRuneInString(text); name != "" && size < len(text) {
		if next, _ := utf8.DecodeRuneInString(text[size:]); unicode.IsLower(next) {
			text = string(unicode.ToLower(r)) + text[size:]
		}
		text = name + " " + text
	}
	start := strings.Repeat("\t", indent) + "//"
	var lines []string
	line, width := start, 4*indent+2
	for word := range strings.FieldsSeq(text) {
		size := utf8.RuneCountInString(word) + 1
		if width+size > columns {
			lines = append(lines, line)
			line, width = start, 4*indent+2
		}
		line += " " + word
		width += size
	}
	return strings.TrimLeft(strings.Join(append(lines, line), "\n"), "\t")
}

func quoted(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, fmt.Sprintf("%q", w))
	}
	return strings.Join(out, ", ")
}

func paramTypes(params []param) []string {
	var types []string
	for _, p := range params {
		types = append(types, p.Type)
	}
	return types
}

// signature is a function as a person writes it: count(field i32) -> i32.
func signature(f function) string {
	var params []string
	for _, p := range f.Params {
		params = append(params, p.Name+" "+p.Type)
	}
	s := f.Name + "(" + strings.Join(params, ", ") + ")"
	if len(f.Results) > 0 {
		s += " -> " + strings.Join(f.Results, ", ")
	}
	return s
}

// codes says what a function returns.
func codes(f function) string {
	if len(f.Results) == 0 {
		return "nothing"
	}
	s := f.Answer
	for i, code := range f.Codes {
		switch {
		case i == 0:
			s += "; "
		case i == len(f.Codes)-1:
			s += " or "
		default:
			s += ", "
		}
		s += "`" + code + "`"
	}
	return s
}

func choose(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// allowed says what a decision can be.
func allowed(i item) string {
	if strings.Contains(i.Kind, "bytes") {
		return fmt.Sprintf("%s, at most %d bytes", i.Kind, i.Max)
	}
	return fmt.Sprintf("%s, %d to %d", i.Kind, i.Min, i.Max)
}
