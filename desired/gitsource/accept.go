package gitsource

// Reason says why a head is not accepted.
type Reason string

// The reasons. Only the last two give way to source.accept: a commit that nobody has
// signed, or that cannot be read, is not what an operator can have looked at.
const (
	Unreachable Reason = "unreachable" // the repository could not be asked
	Unreadable  Reason = "unreadable"  // the ref, or what it stands on, cannot be fetched or read
	Unverified  Reason = "unverified"  // the commit is not signed as it should be
	Broken      Reason = "broken"      // its documents have mistakes
	Stale       Reason = "stale"       // it does not descend from the last accepted commit
	Emptied     Reason = "emptied"     // it has no mapping where the last accepted commit had some
)

// Answer to a question that may cost a fetch.
type Answer uint8

// The answers.
const (
	Unasked Answer = iota
	Yes
	No
)

// Facts are what is known of a head and of the commit that was accepted last.
type Facts struct {
	Head, Last, Accept string // commits; Last is empty before the first, Accept is source.accept
	Unverified, Broken bool
	Mappings           int    // of the head
	Descends           Answer // whether Last is an ancestor of Head
	LastHadSome        Answer // whether Last had mappings; Yes if that cannot be found out
}

// Question is a fact that is missing.
type Question uint8

// The questions.
const (
	Nothing Question = iota
	AskDescends
	AskLastHadSome
)

// Judgement is what becomes of a head: accepted, held for a reason, or not known
// until a question is answered.
type Judgement struct {
	Accepted bool
	Reason   Reason
	Ask      Question
}

// Judge decides whether a head takes the place of the last accepted commit (design.md
// section 2, law 5). It is pure, and asks for what costs a fetch only when nothing
// cheaper has decided.
//
//	not signed, or broken documents   held, whatever the operator accepts
//	the last accepted commit          accepted
//	the first there is                accepted, with mappings or without
//	source.accept names it            accepted
//	no descendant of the last         held: the branch was rewound or replaced
//	no mappings, and the last had     held: it would read as "remove everything"
//	any other                         accepted
func Judge(f Facts) Judgement {
	held := func(r Reason) Judgement { return Judgement{Reason: r} }
	accepted := Judgement{Accepted: true}
	switch {
	case f.Head != "" && f.Head == f.Last && !f.Broken:
		return accepted // its signature counted then; keys may have changed since
	case f.Unverified:
		return held(Unverified)
	case f.Broken:
		return held(Broken)
	case f.Last == "" || f.Accept == f.Head:
		return accepted
	case f.Descends == Unasked:
		return Judgement{Ask: AskDescends}
	case f.Descends == No:
		return held(Stale)
	case f.Mappings > 0:
		return accepted
	case f.LastHadSome == Unasked:
		return Judgement{Ask: AskLastHadSome}
	case f.LastHadSome == Yes:
		return held(Emptied)
	}
	return accepted
}
