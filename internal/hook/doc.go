// Package hook is the listener's handler for POST /hook/{github,gitlab,gitea,generic}.
// A hook only says: look now. Its body is checked and thrown away; what Git wants is
// read from Git, so the worst that a forged or replayed delivery could do is a look.
//
// It decides whether a delivery is authentic, fresh and new, in memory and time that
// a stranger cannot grow, and calls Wake. It never parses a body, reads no file, and
// makes no round: the loop that is woken spaces its own. docs/api.md says how each
// provider is set up.
//
// Only package app imports it; it imports the standard library alone.
//
//	wake := make(chan struct{}, 1)
//	h := hook.New(hook.Options{Secrets: secrets, Wake: func() {
//		select {
//		case wake <- struct{}{}:
//		default: // one is on its way
//		}
//	}})
package hook
