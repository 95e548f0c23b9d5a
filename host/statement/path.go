package statement

import (
	"slices"
	"strings"
)

const (
	// maxPath bounds the schemas of a search_path that is followed.
	maxPath = 64
	// maxName is the longest name in bytes. Postgres cuts a longer one, and so looks in another schema than it says.
	maxName = 63
)

// SearchPath spells the search_path of a session in one form, for whoever resolves names with it: value is what Postgres
// keeps (SHOW search_path), user the name of the session's current_user, which "$user" stands for. It returns "" where
// that is not a list of names, or user is needed and empty.
//
// All schemas of the path that have a name count, not the first: the others are found where the user may not use it, or
// where it does not exist. pg_catalog is always among them.
func SearchPath(value, user string) string {
	var names []string
	for rest := strings.TrimSpace(value); rest != ""; {
		name, behind, ok := pathName(rest)
		if ok && name == "$user" {
			name = user
		}
		// What is temporary is in no picture of the catalogs.
		if !ok || name == "" || len(names) == maxPath || len(name) > maxName || strings.IndexByte(name, 0) >= 0 || strings.HasPrefix(name, "pg_temp") {
			return ""
		}
		names = append(names, name)
		if behind == "" {
			break
		}
		rest = strings.TrimSpace(behind[1:])
		if behind[0] != ',' || rest == "" {
			return ""
		}
	}
	if !slices.Contains(names, "pg_catalog") {
		names = append(names, "pg_catalog")
	}
	return strings.Join(names, "\x00")
}

// Schemas returns the schemas of what SearchPath spelled, nil for "".
func Schemas(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, "\x00")
}

const pathSpaces = " \t\n\r\f\v"

// pathName reads one name as SplitIdentifierString does: in quotes as it stands, else folded. It returns what is behind it
// without white space.
func pathName(text string) (name, behind string, ok bool) {
	if text[0] != '"' {
		end := strings.IndexAny(text, ","+pathSpaces+`"`)
		if end < 0 {
			end = len(text)
		}
		name = text[:end]
		// How others fold, the database's encoding decides.
		ascii := strings.IndexFunc(name, func(r rune) bool { return r >= 0x80 }) < 0
		return strings.ToLower(name), strings.TrimLeft(text[end:], pathSpaces), name != "" && ascii
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return b.String(), strings.TrimLeft(text[i+1:], pathSpaces), b.Len() > 0
	}
	return "", "", false
}
