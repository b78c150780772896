package awsd

import (
	"slices"
	"strings"
)

// Kind says how a call goes wrong.
type Kind string

// The ways in which a call goes wrong. Where "nothing is done" the world stays as it was.
const (
	Refuse        Kind = "refuse"          // AccessDenied; nothing is done.
	Throttle      Kind = "throttle"        // Throttling; nothing is done.
	Fail          Kind = "fail"            // A server error; nothing is done.
	DoneButFailed Kind = "done-but-failed" // A server error, and yet the write took effect.
	Cut           Kind = "cut"             // The connection breaks without an answer; nothing is done.
	DoneButCut    Kind = "done-but-cut"    // The connection breaks without an answer after the write took effect.
	Hang          Kind = "hang"            // No answer until the client gives up; nothing is done.
	DoneButHang   Kind = "done-but-hang"   // No answer until the client gives up, after the write took effect.
	Lost          Kind = "lost"            // Success is reported and nothing is done.
	Stale         Kind = "stale"           // A read shows what was true before the newest write.
	TruncatedPage Kind = "truncated-page"  // A list ends early, and the token for the rest will be refused.
	Answer        Kind = "answer"          // The error in Code, Status and Message; nothing is done.
)

// Fault makes calls go wrong. A call meets the first fault that concerns it.
type Fault struct {
	Service   string          // "iam", "sts", "eks", "eks-auth" or "cloudtrail"; empty concerns all.
	Operation string          // Empty concerns all.
	Account   string          // The caller's; empty concerns all.
	Resource  string          // Part of [Call.Resource] or [Call.Params]; empty concerns all.
	Match     func(Call) bool // Asked last, if not nil. It must not call the server.
	Skip      int             // So many calls pass unharmed first.
	Times     int             // So many calls go wrong; 0 means all.
	Kind      Kind

	Code, Message string // For Answer.
	Status        int    // For Answer; 400 if zero.

	hits int
}

// AddFault puts a fault in force and returns how to lift it.
func (s *Server) AddFault(f Fault) (lift func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := &f
	s.faults = append(s.faults, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(other *Fault) bool { return other == added })
	}
}

// faultFor returns the fault that this call meets, or nil, and counts the hit.
func (s *Server) faultFor(c Call) *Fault {
	for _, f := range s.faults {
		if !f.concerns(c) || f.Times > 0 && f.hits >= f.Skip+f.Times {
			continue
		}
		f.hits++
		if f.hits > f.Skip {
			return f
		}
	}
	return nil
}

func (f *Fault) concerns(c Call) bool {
	return (f.Service == "" || f.Service == c.Service) &&
		(f.Operation == "" || f.Operation == c.Operation) &&
		(f.Account == "" || f.Account == c.Account) &&
		(f.Resource == "" || strings.Contains(c.Resource, f.Resource) || strings.Contains(c.Params, f.Resource)) &&
		(f.Match == nil || f.Match(c))
}

// error returns what a fault answers in place of the result.
func (f *Fault) error(c Call) *apiError {
	switch f.Kind {
	case Refuse:
		return errDenied(c)
	case Throttle:
		return errThrottled(c.Service)
	case Fail, DoneButFailed:
		return errInternal(c.Service)
	case Answer:
		status := f.Status
		if status == 0 {
			status = 400
		}
		return &apiError{status: status, code: f.Code, message: f.Message}
	}
	return nil
}
