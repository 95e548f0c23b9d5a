// Package policy keeps the policies of a home: it loads the modules of a folder, follows its changes while traffic
// runs, and answers for each statement whether and for how long its results are kept.
//
// A set of policies is one immutable generation behind one pointer. A file that cannot be loaded changes nothing. A
// policy that fails makes its statement bypass the cache, and one that fails again and again is switched off, loudly:
// in doubt, nothing is cached. A hit never comes here.
//
// It must never know sessions, the wire or the cache.
package policy
