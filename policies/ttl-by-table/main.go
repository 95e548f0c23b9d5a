// Command ttl-by-table is a policy that gives results a time to live by the relations they were read from. Its
// configuration names the relations; README.md says how. It keeps no state and reads nothing but the relations, and
// must never make a result live longer than a relation of it that is not named would let it.
package main

import (
	"errors"

	policy "github.com/perihelion-proxy/perihelion/guest-sdk/go"
)

// ttls is the configuration, read once per instance.
var ttls table

// A module is a library: its main never runs, so init is where it says what it does.
func init() { //nolint:gochecknoinits // see above
	policy.Configure(func(config []byte) (err error) {
		ttls, err = readTable(config)
		return err
	})
	policy.Decide(decide)
}

func main() {}

func decide(s policy.Statement, d *policy.Decision) error {
	standing, _ := d.CurrentTTL()
	relation, ttl := ttls.shortest(s.Relations(), standing)
	switch {
	case relation == "":
		return nil
	case ttl == never:
		return errors.Join(d.Cache(false), d.Reason(relation+": never cached"))
	}
	if cached, ok := d.Cached(); ok && !cached {
		return nil // what is not cached has no time to live, and the reason for that is another's
	}
	return errors.Join(d.TTL(ttl), d.Reason(relation+": "+ttl.String()))
}
