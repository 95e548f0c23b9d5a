package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxNesting bounds what NAME.yaml may nest: its parser recurses, and so does whoever reads the JSON.
const maxNesting = 32

// manifestKeys are the keys of NAME.yaml by the section that they are in.
func manifestKeys() map[string][]string {
	return map[string][]string{
		"":      {"match", "priority", "memory", "fuel", "sha256", "config"},
		"match": {"tenants", "databases"},
	}
}

// laterKeys are keys of NAME.yaml that the ABI describes and this version does not serve: a tick that nobody waits for
// would be a promise.
func laterKeys() []string { return []string{"tick"} }

// checkKeys checks that a text is one YAML document with keys that are known, and returns its root, nil where it is
// empty. Every wrong key is reported. No message holds a value: a configuration may have secrets.
func checkKeys(text []byte) (ast.Node, error) {
	tokens := lexer.Tokenize(string(text))
	if err := checkTokens(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, withoutSource(err)
	}
	var root ast.Node
	for _, document := range file.Docs {
		switch {
		case document.Body == nil || document.Body.Type() == ast.CommentType:
		case root != nil:
			return nil, errors.New("there is a second document; one is allowed")
		default:
			root = document.Body
		}
	}
	if root == nil || root.Type() == ast.NullType {
		return nil, nil
	}
	return root, checkSection("", root)
}

// checkTokens refuses what makes a small text a large value or a deep one.
func checkTokens(tokens token.Tokens) error {
	flow, inLine, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			line, inLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return fmt.Errorf("line %d: anchors, aliases and merge keys are not allowed", line)
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType:
			if flow == 0 { // inside, they stand side by side
				inLine++
			}
		default:
		}
		if flow > maxNesting || inLine > maxNesting {
			return fmt.Errorf("line %d: nests deeper than %d", line, maxNesting)
		}
	}
	return nil
}

// checkSection checks the keys of one section, "" for the root.
func checkSection(section string, node ast.Node) error {
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return nil // all of it is commented out
	default:
		if section == "" {
			return errors.New("there are no keys; priority: 100 is how one looks")
		}
		return fmt.Errorf("%s: takes no value; its keys are %s", section, strings.Join(manifestKeys()[section], ", "))
	}
	prefix := ""
	if section != "" {
		prefix = section + "."
	}
	known := manifestKeys()[section]
	var problems []error
	for _, pair := range pairs {
		key := ""
		if text, ok := pair.Key.(*ast.StringNode); ok {
			key = text.Value
		}
		name := prefix + key
		switch {
		case key == "":
			problems = append(problems, errors.New(prefix+"(a key that is not plain text): unknown key; known are "+strings.Join(known, ", ")))
		case slices.Contains(known, key):
			if _, ok := manifestKeys()[name]; ok {
				problems = append(problems, checkSection(name, pair.Value))
			}
		case section == "" && slices.Contains(laterKeys(), key):
			problems = append(problems, fmt.Errorf("%s: not supported by this version", name))
		default:
			problems = append(problems, fmt.Errorf("%.64q: unknown key; the nearest known key is %s", name, prefix+nearest(key, known)))
		}
	}
	return errors.Join(problems...)
}

// withoutSource returns an error of the parser with its place and without the text around it.
func withoutSource(err error) error { return errors.New(yaml.FormatError(err, false, false)) }

// nearest returns the candidate that takes the fewest changes to make of a name, the first of several.
func nearest(name string, candidates []string) string {
	best, least := "", 0
	for _, candidate := range candidates {
		if d := distance(name, candidate); best == "" || d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace to make one name of the other. A long name is cut: it
// is near to no key.
func distance(a, b string) int {
	const longest = 64
	a, b = strings.ToLower(a[:min(len(a), longest)]), strings.ToLower(b[:min(len(b), longest)])
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
