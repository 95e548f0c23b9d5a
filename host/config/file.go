package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxFileBytes bounds a configuration file.
	maxFileBytes = 1 << 20
	// maxNesting bounds what a file may nest, far above the two levels that there are: the parser recurses.
	maxNesting = 32
)

// readFile reads a whole file under the bound. It reads pipes too, so that a shell can make the file on the way.
func readFile(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %s", Size(maxFileBytes))
	}
	return data, nil
}

// parseFile takes the settings out of a file's bytes. What it cannot take it reports to the loader.
func (l *loader) parseFile(name string, data []byte) {
	tokens := lexer.Tokenize(string(data))
	if line := tooDeep(tokens); line > 0 {
		l.broken(Problem{Source: position(name, line), Wrong: "nests deeper than any configuration", Allowed: "sections hold keys, keys hold values"})
		return
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		l.syntax(name, err)
		return
	}
	p := &fileParser{loader: l, name: name}
	found := false
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType:
		case found:
			l.problem(Problem{Source: p.at(doc.Body), Wrong: "begins a second document", Allowed: "one document in a file"})
		default:
			found = true
			p.root(doc.Body)
		}
	}
}

// syntax reports a file that is no YAML. The parser's own message names the place and never the text around it,
// where secrets may be.
func (l *loader) syntax(name string, err error) {
	p := Problem{Source: name, Wrong: "is not YAML", Allowed: "keys and values as in the reference"}
	var yamlErr yaml.Error
	if errors.As(err, &yamlErr) {
		if tk := yamlErr.GetToken(); tk != nil && tk.Position != nil {
			p.Source = position(name, tk.Position.Line)
		}
		p.Wrong = "is not YAML: " + yamlErr.GetMessage()
	}
	l.broken(p)
}

// tooDeep returns the line on which a file nests deeper than maxNesting, or 0. What nests over lines must be indented
// more and more, which the bound on a file's size bounds well enough; what nests on one line must not.
func tooDeep(tokens token.Tokens) int {
	flow, inLine, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position == nil {
			continue
		}
		if tk.Position.Line != line {
			line, inLine = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			inLine++
		default:
		}
		if flow > maxNesting || inLine > maxNesting {
			return line
		}
	}
	return 0
}

func position(name string, line int) string { return name + ":" + strconv.Itoa(line) }

type fileParser struct {
	loader *loader
	name   string
}

func (p *fileParser) at(n ast.Node) string {
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return position(p.name, tk.Position.Line)
	}
	return p.name
}

func (p *fileParser) root(n ast.Node) {
	if n.Type() == ast.NullType {
		return
	}
	values, ok := pairs(n)
	if !ok {
		p.loader.problem(Problem{Source: p.at(n), Wrong: "holds no keys", Allowed: "keys and values, such as listen: 127.0.0.1:6432"})
		return
	}
	p.section("", values)
}

// pairs returns the pairs of a mapping.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	default:
		return nil, false
	}
}

// section takes the pairs under a prefix, which is empty or ends with a dot.
func (p *fileParser) section(prefix string, values []*ast.MappingValueNode) {
	for _, pair := range values {
		key, ok := pair.Key.(*ast.StringNode)
		if !ok {
			// A merge key, an alias, a number: no key of ours is written like that.
			p.loader.problem(Problem{Source: p.at(pair.Key), Wrong: "has a key that is not plain text", Allowed: "no anchors, aliases and merge keys"})
			continue
		}
		name := prefix + key.Value
		isSection := prefix == "" && p.loader.sections[name]
		row, known := p.loader.rows[name]
		switch nested, isMap := pairs(pair.Value); {
		case isSection && isMap:
			p.section(name+".", nested)
		case isSection && pair.Value.Type() == ast.NullType:
			// A section whose keys are all commented out.
		case isSection:
			p.loader.problem(Problem{Key: name, Source: p.at(key), Wrong: "is a section and takes no value", Allowed: "its keys, indented below it: " + p.loader.keysOf(name)})
		case !known || strings.Contains(key.Value, "."):
			p.unknown(name, prefix, key, pair.Value)
		case isMap:
			p.fail(row, key, "takes a value and is no section")
		default:
			p.value(row, key, pair.Value)
		}
	}
}

// unknown reports an unknown key. What holds keys was meant as a section, what holds a value as a key.
func (p *fileParser) unknown(name, prefix string, key *ast.StringNode, value ast.Node) {
	candidates := p.loader.names
	if _, isMap := pairs(value); prefix == "" && isMap {
		candidates = p.loader.sectionNames()
	}
	near := nearest(name, candidates)
	p.loader.failed[near] = true
	problem := Problem{Key: quoteKey(name), Source: p.at(key), Wrong: "is not a known key", Allowed: "the nearest known key is " + near}
	if section, rest, ok := strings.Cut(near, "."); ok && key.Value == near {
		problem.Allowed = "write " + rest + " indented below " + section
	}
	p.loader.problem(problem)
}

// quoteKey returns an unknown key as it is where it is plain, and quoted and cut otherwise.
func quoteKey(name string) string {
	if checkName(name) == nil {
		return name
	}
	return quote([]string{name})
}

// value takes the value of a known key.
func (p *fileParser) value(row entry, key *ast.StringNode, n ast.Node) {
	if n.Type() == ast.NullType {
		p.fail(row, key, "has no value")
		return
	}
	sequence, isList := n.(*ast.SequenceNode)
	if !isList {
		text, ok := scalar(n)
		if !ok {
			p.fail(row, key, "has a value that is not plain text (no tags, anchors and aliases)")
			return
		}
		p.loader.set(row, p.at(key), []string{text})
		return
	}
	if !row.list {
		p.fail(row, key, "takes one value and no list")
		return
	}
	if len(sequence.Values) == 0 {
		p.fail(row, key, "has an empty list")
		return
	}
	texts := make([]string, 0, len(sequence.Values))
	for _, item := range sequence.Values {
		text, ok := scalar(item)
		if !ok {
			p.fail(row, key, "has a list of something else than plain text")
			return
		}
		texts = append(texts, text)
	}
	p.loader.set(row, p.at(key), texts)
}

func (p *fileParser) fail(row entry, key *ast.StringNode, wrong string) {
	p.loader.failed[row.name] = true
	p.loader.problem(Problem{Key: row.name, Source: p.at(key), Wrong: wrong, Allowed: "allowed: " + row.allowed})
}

// scalar returns the text of a scalar as it is written: 0123 and 1e3 are what they look like, not numbers.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}
