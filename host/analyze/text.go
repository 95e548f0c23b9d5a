package analyze

import (
	"net/url"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// normalize returns a text with its literals replaced by $n, without comments and with single spaces, or "" where that
// cannot be had. Of a utility statement every number is a literal too.
func normalize(text string, utility bool) string {
	normal, err := pg.Normalize(text)
	if err != nil {
		return ""
	}
	last := parameters(normal)
	var b strings.Builder
	b.Grow(len(normal))
	end := 0
	for t := range tokens(normal) {
		if t.kind == comment {
			continue // it leaves a gap
		}
		if t.start > end && b.Len() > 0 {
			b.WriteByte(' ')
		}
		end = t.end
		if t.kind == literal || utility && t.kind == number {
			// The library leaves the literals of most utility statements, a password among them.
			last++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(last))
			continue
		}
		b.WriteString(normal[t.start:t.end])
	}
	return strings.TrimRight(b.String(), " ;")
}

// parameters returns the highest number of a parameter in a text.
func parameters(text string) int {
	highest := 0
	for t := range tokens(text) {
		if t.kind == parameter {
			if n, err := strconv.Atoi(text[t.start+1 : t.end]); err == nil {
				highest = max(highest, n)
			}
		}
	}
	return highest
}

// firstWord returns the first word of a text in upper case, or "".
func firstWord(text string) string {
	for t := range tokens(text) {
		if t.kind == word {
			return strings.ToUpper(text[t.start:t.end])
		}
	}
	return ""
}

// commentPairs returns the key=value pairs of a text's comments as sqlcommenter writes them, in their order.
func commentPairs(text string) []string {
	if !strings.Contains(text, "--") && !strings.Contains(text, "/*") {
		return nil
	}
	var pairs []string
	for t := range tokens(text) {
		if t.kind == comment {
			pairs = appendPairs(pairs, text[t.start:t.end])
		}
	}
	return pairs
}

func appendPairs(pairs []string, body string) []string {
	if rest, ok := strings.CutPrefix(body, "--"); ok {
		body = rest
	} else {
		body = strings.TrimSuffix(strings.TrimPrefix(body, "/*"), "*/")
	}
	for body != "" {
		var item string
		item, body = cutPair(body)
		key, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok || key == "" || strings.ContainsAny(key, " \t\r\n'") {
			continue
		}
		if inner, quoted := strings.CutPrefix(value, "'"); quoted {
			value = strings.ReplaceAll(strings.TrimSuffix(inner, "'"), `\'`, "'")
		} else if strings.ContainsAny(value, " \t\r\n") {
			continue // prose
		}
		pairs = append(pairs, unescape(key)+"="+unescape(value))
	}
	return pairs
}

// cutPair cuts a comment's text at the first comma that is in no quotes.
func cutPair(body string) (item, rest string) {
	quoted := false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '\\' && quoted:
			i++
		case c == '\'':
			quoted = !quoted
		case c == ',' && !quoted:
			return body[:i], body[i+1:]
		}
	}
	return body, ""
}

// unescape undoes the URL encoding, and leaves what is not encoded as it is.
func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
