package config

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// Sources are where a configuration comes from. What comes later in this order wins: file, environment, flags.
type Sources struct {
	// File is the path of a YAML file of at most 1 MiB. Empty: none.
	File string
	// Environ is the environment as os.Environ returns it. Only names that begin with [EnvPrefix] are looked at.
	Environ []string
	// Flags are the flags that were given. The last of one key wins.
	Flags []Flag
}

// Flag is a flag that was given on the command line.
type Flag struct {
	// Key is the key that it sets, as in [Key].Name.
	Key string
	// Name is what it is called in messages, such as "--listen".
	Name string
	// Values are its values: one, unless the key takes a list.
	Values []string
}

// Load reads and validates a configuration. Its error is an [*Error] with all problems.
func Load(s Sources) (*Config, error) {
	l := newLoader()
	if s.File != "" {
		if data, err := readFile(s.File); err != nil {
			l.broken(fileProblem(s.File, err))
		} else {
			l.parseFile(s.File, data)
		}
	}
	l.environ(s.Environ)
	l.flags(s.Flags)
	return l.finish()
}

func fileProblem(path string, err error) Problem {
	problem := Problem{Source: path, Wrong: "cannot be read: " + err.Error(), Allowed: "a readable YAML file of at most 1MiB"}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		problem.Wrong = "cannot be read: " + pathErr.Err.Error()
	}
	return problem
}

// loader gathers values and problems until the configuration is whole.
type loader struct {
	config   *Config
	rows     map[string]entry
	names    []string
	sections map[string]bool
	// failed are the keys whose value was refused or whose name was mistyped: what follows from their absence is not
	// reported again.
	failed map[string]bool
	// fileBroken says that the file gave no values at all.
	fileBroken bool
	problems   []Problem
}

func newLoader() *loader {
	l := &loader{config: Default(), rows: map[string]entry{}, sections: map[string]bool{}, failed: map[string]bool{}}
	l.config.sources = map[string]string{}
	for _, row := range table() {
		l.rows[row.name] = row
		l.names = append(l.names, row.name)
		if section, _, ok := strings.Cut(row.name, "."); ok {
			l.sections[section] = true
		}
	}
	return l
}

func (l *loader) problem(p Problem) { l.problems = append(l.problems, p) }

// broken reports a problem of the whole file.
func (l *loader) broken(p Problem) {
	l.fileBroken = true
	l.problem(p)
}

func (l *loader) sectionNames() []string {
	var names []string
	for _, name := range l.names {
		if section, _, ok := strings.Cut(name, "."); ok && !slices.Contains(names, section) {
			names = append(names, section)
		}
	}
	return names
}

// keysOf returns the keys of a section without its name, for a message.
func (l *loader) keysOf(section string) string {
	var keys []string
	for _, name := range l.names {
		if key, ok := strings.CutPrefix(name, section+"."); ok {
			keys = append(keys, key)
		}
	}
	return strings.Join(keys, ", ")
}

// set gives a key values from a source, over what it had from an earlier one.
func (l *loader) set(row entry, source string, values []string) {
	if err := row.set(l.config, values); err != nil {
		l.failed[row.name] = true
		l.problem(Problem{
			Key: row.name, Value: row.show(values), Source: source, Wrong: err.Error(), Allowed: "allowed: " + row.allowed,
		})
		return
	}
	l.config.sources[row.name] = source
}

func (l *loader) environ(environ []string) {
	byEnv := map[string]entry{}
	envs := make([]string, 0, len(l.names))
	for _, name := range l.names {
		row := l.rows[name]
		byEnv[row.env()] = row
		envs = append(envs, row.env())
	}
	for _, variable := range environ {
		name, value, ok := strings.Cut(variable, "=")
		if !ok || !strings.HasPrefix(name, EnvPrefix) || strings.HasPrefix(name, EnvTestPrefix) {
			continue
		}
		row, known := byEnv[name]
		if !known {
			near := EnvPrefix + nearest(strings.TrimPrefix(name, EnvPrefix), withoutPrefix(envs))
			l.failed[byEnv[near].name] = true
			l.problem(Problem{Key: quoteKey(name), Source: "environment", Wrong: "is not a known variable", Allowed: "the nearest known variable is " + near})
			continue
		}
		l.set(row, name, row.split(value))
	}
}

func withoutPrefix(envs []string) []string {
	names := make([]string, len(envs))
	for i, env := range envs {
		names[i] = strings.TrimPrefix(env, EnvPrefix)
	}
	return names
}

// split returns the values in a text that is not from a file.
func (k entry) split(text string) []string {
	if !k.list {
		return []string{text}
	}
	return strings.Split(text, ",")
}

func (l *loader) flags(flags []Flag) {
	for _, flag := range flags {
		row, known := l.rows[flag.Key]
		switch {
		case !known:
			l.problem(Problem{Key: quoteKey(flag.Key), Source: flag.Name, Wrong: "is not a known key", Allowed: "the nearest known key is " + nearest(flag.Key, l.names)})
		case len(flag.Values) == 0 || len(flag.Values) > 1 && !row.list:
			l.failed[row.name] = true
			l.problem(Problem{Key: row.name, Source: flag.Name, Wrong: "takes one value", Allowed: "allowed: " + row.allowed})
		default:
			var values []string
			for _, value := range flag.Values {
				values = append(values, row.split(value)...)
			}
			l.set(row, flag.Name, values)
		}
	}
}

// finish validates the whole and returns it.
func (l *loader) finish() (*Config, error) {
	l.validate()
	if len(l.problems) > 0 {
		return nil, &Error{Problems: l.problems}
	}
	l.warn()
	return l.config, nil
}
