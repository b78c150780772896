package migrate

import "time"

// Use is what has been shown about the use of a subject's mechanisms (design.md section
// 6, "Proof"). Package migrate/proof fills it; the phases read it as a fact like others.
//
// New is positive proof: whoever fills it in has seen the use, or the answer of the
// mapping's own query. No New is no proof, whatever the reason, and never proof of the
// contrary: silence releases nothing (law 2).
type Use struct {
	New    time.Time // last use of the wanted mechanism by this subject that was positively shown; zero: nothing shown
	Old    time.Time // last use of the other one, or an attempt at it, as far as was looked
	Agent  string    // user agent of the newest IRSA event, which names the SDK ([SDKOf]); an event of Pod Identity names none
	Looked time.Time // until when was looked, what is still to be delivered left out; zero: nobody could look
	Why    string    // why nobody could look, or nothing is shown; beside a use, what of the other one would not be seen
}

// Proves reports whether the use is proof of a move: the wanted mechanism was used since
// the crossing, and nothing shows the other one in use after moved, which is when its
// last pod was gone. An event of the other side then comes from a reader that no pod
// shows, such as a driver that reads the annotation itself (domain.md section 7.4).
func (u Use) Proves(crossed, moved time.Time) bool {
	return !u.New.IsZero() && !u.New.Before(crossed) && !u.Old.After(moved)
}
