package desired

import "fmt"

// HeldReason says why a newer head of the watched ref is not followed. The list is
// closed; each has a paragraph in docs/operations.md.
type HeldReason string

// The reasons (design.md, law 5).
const (
	HeldUnreachable HeldReason = "unreachable" // the repository could not be read, or not within its bounds
	HeldInvalid     HeldReason = "invalid"     // the head has document errors
	HeldUnsigned    HeldReason = "unsigned"    // the head has no signature of a configured key
	HeldRewound     HeldReason = "rewound"     // the head does not follow from the last accepted commit
	HeldEmpty       HeldReason = "empty"       // the head names nothing any more
)

// HeldReasons returns the closed list.
func HeldReasons() []HeldReason {
	return []HeldReason{HeldUnreachable, HeldInvalid, HeldUnsigned, HeldRewound, HeldEmpty}
}

// Held says why a state is that of the last accepted revision and not of the head.
type Held struct {
	Reason  HeldReason
	Head    string // the head's commit; empty where it could not be read
	Message string // for a person: what is so, and the next move
	Errors  Errors // the head's mistakes, where it was parsed
}

// String returns "reason at commit: message".
func (h Held) String() string {
	if h.Head == "" {
		return fmt.Sprintf("%s: %s", h.Reason, h.Message)
	}
	return fmt.Sprintf("%s at %.12s: %s", h.Reason, h.Head, h.Message)
}
