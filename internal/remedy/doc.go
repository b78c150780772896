// Package remedy classes errors by what they ask for: try again, plan again, wait
// for a person, or stop. A class is given once, at the boundary where the error
// code is still known; the loop and the metrics switch on nothing else.
//
// It imports the standard library only, and anyone may import it.
//
//	err = remedy.Mark(remedy.Retry, fmt.Errorf("update trust policy %s: %w", role, err))
//	remedy.Of(err) // remedy.Retry
package remedy
